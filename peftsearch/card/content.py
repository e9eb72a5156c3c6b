"""The front matter and the sections of a model card.

Place in the flow: ``architecture.json``, ``summary.json`` and ``check.json`` -> card.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import yaml

from peftsearch import shown
from peftsearch.card.markdown import bullets, code, escaped, one_line, table
from peftsearch.catalogue import method_facts
from peftsearch.site import PARTS, split_id

#: Library that loads an export, as the Hub calls it; what is not named is loaded by peftsearch.
_LIBRARIES = {
    "peft": "peft",
    "peft-serving": "peft",
    "merged": "transformers",
    "adapters": "adapters",
    "axolotl": "peft",
    "llamafactory": "peft",
    "trl": "peft",
}
_NOTHING = "\u2013"


@dataclass(frozen=True)
class CardFacts:
    """What a card is made of.

    Attributes:
        repository: Name on the Hub.
        architecture: Content of ``architecture.json``.
        check: Content of ``check.json`` of the export; its lines are those that load it.
        summary: Content of ``summary.json``; empty where nothing was scored yet.
        base_model: Id of the backbone on the Hub; empty if it is not there.
        dataset: Id of the rows on the Hub; empty if they are not there.
        command: The command that made the run, word by word.
        versions: Versions of libraries by name.
    """

    repository: str
    architecture: Mapping[str, Any]
    check: Mapping[str, Any]
    summary: Mapping[str, Any] = field(default_factory=dict)
    base_model: str = ""
    dataset: str = ""
    command: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def trained(self) -> bool:
        """Whether the exported weights were trained."""
        return bool(self.check.get("trained", True))

    @property
    def active(self) -> list[Mapping[str, Any]]:
        """The choices that insert something."""
        return [choice for choice in self.architecture["choices"] if choice["method"] != "none"]


def model_card(facts: CardFacts) -> str:
    """Return the text of a ``README.md``."""
    sections = [
        f"---\n{_front_matter(facts)}---",
        f"# {escaped(facts.repository)}",
        _introduction(facts),
        *_result(facts),
        "## What was found",
        layer_table(facts.architecture),
        "## Load it",
        code(facts.check["load"], "python"),
        *_making(facts),
        "## Alerts and limits",
        bullets(_limits(facts)),
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(facts: CardFacts) -> str:
    target = facts.check["target"]
    library = _LIBRARIES.get(target, "peftsearch")
    methods = sorted({choice["method"] for choice in facts.active})
    entries: dict[str, Any] = {"library_name": library}
    if facts.base_model:
        entries["base_model"] = one_line(facts.base_model)
        entries["base_model_relation"] = "finetune" if target == "merged" else "adapter"
    if facts.dataset:
        entries["datasets"] = [one_line(facts.dataset)]
    if facts.summary and facts.trained:
        entries["metrics"] = [one_line(facts.summary["metric"])]
    entries["tags"] = list(dict.fromkeys(["peftsearch", library, *map(one_line, methods)]))
    return yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=1000)


def _introduction(facts: CardFacts) -> str:
    found = facts.architecture
    # Where a folder lies is nobody's concern.
    model = facts.base_model or PurePath(found["model"]).name
    text = (
        f"Which parameter-efficient method, of which size, each layer of {escaped(model)} "
        f"gets for the task {escaped(found['task'])}, within a budget of trained parameters: found "
        f"by peftsearch, and exported for {escaped(facts.check['target'])}."
    )
    if not facts.trained:
        text += (
            " **The weights are not trained**: this is the start of a training of that "
            "architecture, and scores are those of peftsearch's own."
        )
    return text


def _result(facts: CardFacts) -> list[str]:
    """Return the headline and the scores; nothing where there are none."""
    lines = [_budget(facts.architecture)]
    if not facts.summary:
        return ["## Result", *lines]
    summary = facts.summary
    metric, scored = summary["metric"], [("found", summary["found"])]
    best = best_baseline(summary)
    if best is not None:
        scored.append((f"best baseline: {best[0]}", best[1]))
    rows = [[name, f"{one['num_params']:,}", shown.entry(one, metric)] for name, one in scored]
    head = ["architecture", "parameters", f"{metric} on test"]
    headline = escaped(summary.get("headline", ""))
    return ["## Result", *([headline] if headline else []), table(head, rows), *lines]


def best_baseline(summary: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """Return name and scores of the best baseline at the same budget, if there is one."""
    sign = 1 if summary.get("higher_is_better", True) else -1
    baselines = summary.get("baselines") or {}
    return max(baselines.items(), key=lambda each: sign * each[1]["mean"], default=None)


def _budget(architecture: Mapping[str, Any]) -> str:
    budget = architecture["budget"]
    return (
        f"Trained: {architecture['num_params']:,} of at most {budget['limit']:,} parameters "
        f"(budget {escaped(budget['requested'])}; the frozen backbone has "
        f"{architecture['backbone_parameters']:,}); a task head is not counted."
    )


def layer_table(architecture: Mapping[str, Any]) -> str:
    """Return what each layer gets as a table: a row a layer, a column a part."""
    cells: dict[tuple[str, int], dict[str, list[str]]] = {}
    for choice in architecture["choices"]:
        stack, layer, part = split_id(choice["site"])
        row = cells.setdefault((stack, layer), {}).setdefault(part, [])
        if choice["method"] != "none":
            row.append(_label(choice))
    there = {part for row in cells.values() for part in row}
    parts = [*(part for part in PARTS if part in there), *sorted(there - set(PARTS))]
    rows = [
        [f"{stack} {layer}", *(" + ".join(row.get(part, ())) or _NOTHING for part in parts)]
        for (stack, layer), row in cells.items()
    ]
    return table(["layer", *(part.replace("_", " ") for part in parts)], rows)


def _label(choice: Mapping[str, Any]) -> str:
    card = method_facts().get(choice["method"])
    size = f" {choice['size']}" if card is None or card.sized else ""
    return f"{choice['method']}{size} ({', '.join(choice['modules'])})"


def _making(facts: CardFacts) -> list[str]:
    parts = []
    if facts.command:
        parts.append(code(shlex.join(facts.command).splitlines()))
    if facts.versions:
        named = ", ".join(f"{name} {version}" for name, version in facts.versions.items())
        parts.append(f"With {escaped(named)}.")
    return ["## How it was made", *parts] if parts else []


def _limits(facts: CardFacts) -> list[str]:
    """Return the alerts of the run, what was checked, and what nobody knows."""
    found = [str(alert["text"]) for alert in facts.summary.get("alerts", ())]
    if facts.summary and facts.trained and facts.summary["found"]["n"] > 1:
        number = facts.summary["found"]["n"]
        found.append(f"The score is the mean of {number} trainings; these weights are the first's.")
    check = facts.check
    ways = ", ".join(check.get("differences", ()))
    found.append(
        f"Loaded back and compared before the upload ({ways}), in float32: logits differ by at "
        f"most {check['max_logit_difference']:.1e} (allowed {check['tolerance']:.0e})."
    )
    rounded = check.get("notes", {}).get("bf16_max_logit_difference")
    if rounded is not None:
        found.append(f"Loaded in bfloat16, logits differ by up to {rounded:.1e}.")
    found += [
        f"{entry['name']} trains {entry['trained']:,} parameters instead of "
        f"{entry['num_params']:,}: {entry['why']}."
        for entry in check.get("entries", ())
        if entry.get("why")
    ]
    found.append("It was found for this task, these rows and this budget; others were not tried.")
    found.append("No licence is stated here; those of the backbone and of the rows stand.")
    return found
