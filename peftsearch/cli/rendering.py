"""What commands print for humans, as lines of text; nothing is printed here."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from peftsearch import shown
from peftsearch.architecture import NONE, Architecture
from peftsearch.config import RunConfig
from peftsearch.errors import paste
from peftsearch.space import MethodFacts, Removed
from peftsearch.space_spec import SpaceSpec

_LABEL = 11


def table(rows: Sequence[Sequence[str]], indent: str = "") -> list[str]:
    """Return rows of cells as lines with aligned columns."""
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        (indent + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


def memory_lines(memory: Mapping[str, Any]) -> list[str]:
    """Return the terms of each stage's step, what they add up to, and what fits a device."""
    lines = []
    for name, stage in memory["stages"].items():
        terms = [
            f"{key.replace('_', ' ')} {'?' if value is None else size(value)}"
            for key, value in stage.items()
            if key not in ("rows_at_once", "total")
        ]
        total = "?" if stage["total"] is None else size(stage["total"])
        lines += [f"a step of {name}: {total}", *(f"  {' · '.join(t)}" for t in _thirds(terms))]
    if "fits" in memory:
        lines += [one["text"] for one in memory["fits"].values()]
    return [*lines, memory["note"]]


def _thirds(words: Sequence[str]) -> list[Sequence[str]]:
    return [words[i : i + 3] for i in range(0, len(words), 3)]


def labelled(label: str, text: str) -> str:
    """Return a line of a plan; lines that go on have an empty label."""
    return f"  {label:<{_LABEL}}{text}"


def size(number: float) -> str:
    """Return a number of bytes for humans, e.g. ``7.9 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def share(limit: int, denominator: int) -> str:
    """Return a share in per cent with three significant digits, e.g. ``0.0139%``."""
    return f"{100 * limit / denominator:.3g}%"


def _mark(entry: Mapping[str, Any]) -> str:
    """Say where a baseline cannot be exported to, if the run was narrowed to that."""
    targets = entry.get("not_exportable_to", ())
    return f"  (not for {', '.join(targets)})" if targets else ""


def score_lines(summary: Mapping[str, Any]) -> list[str]:
    """Return the headline, and the found architecture above its baselines, best first."""
    found, budget = summary["found"], summary["budget"]
    written = partial(shown.entry, metric=summary["metric"])
    rows = [["found", written(found), f"{found['num_params']:,} parameters"]]
    up = bool(summary.get("higher_is_better", True))
    baselines = sorted(summary["baselines"].items(), key=lambda b: b[1]["mean"], reverse=up)
    rows += [[n, written(b), f"{b['num_params']:,} parameters{_mark(b)}"] for n, b in baselines]
    head = f", head {budget['head']:,} apart" if budget.get("head") else ""
    return [
        *([str(summary["headline"])] if summary.get("headline") else []),
        f"{summary['metric']} on {summary['task']} with {summary['model']}, "
        f"budget {budget['limit']:,} parameters{head}:",
        *table(rows, "  "),
        *(f"  {row['text']}" for row in summary.get("limits", [])),
        *_flops_lines(summary.get("training_flops")),
        *(f"Note: {alert['text']}" for alert in summary.get("alerts", [])),
    ]


def _flops_lines(flops: Mapping[str, float] | None) -> list[str]:
    """Return the FLOPs of a training beside those of LoRA at every site, if they are counted."""
    if not flops:
        return []
    share = flops["found"] / flops["lora_everywhere"]
    back = flops["backward_of_backbone"] / flops["found"]
    return [
        f"  a training: {flops['found']:.3g} FLOPs, {share:.0%} of LoRA at every site; "
        f"{back:.0%} of it the backbone's backward pass"
    ]


def summary_lines(run_dir: Path, summary: Mapping[str, Any]) -> list[str]:
    """Return what ends a run: the report, the scores, and the next two commands.

    Of a run over several budgets, the answer for each and the comparison.
    """
    if "runs" in summary:
        return _front_lines(run_dir, summary["runs"])
    report = run_dir / "report" / "report.html"
    exports = summary.get("exports", {})
    written = [target for target, check in exports.items() if check.get("verified")]
    native = json.dumps(str(run_dir / "export" / "native"), ensure_ascii=False)
    load = f"import peftsearch; model = peftsearch.load({native})"
    lines = [f"Report: {report}", *score_lines(summary)]
    lines.append("Next:")
    if "native" in written:
        lines.append("  " + paste("python", "-c", load))
    else:
        lines.append("  " + paste("peftsearch", "export", run_dir, "--to", "native"))
    return [*lines, "  " + paste("python", "-m", "webbrowser", report)]


def _front_lines(folder: Path, runs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    report = folder / "report" / "report.html"
    return [
        f"Comparison: {report}",
        *(f"{one['budget']['requested']:>8}  {one['headline']}" for one in runs.values()),
        "Next:",
        *("  " + paste("peftsearch", "export", folder / name, "--to", "native") for name in runs),
        "  " + paste("python", "-m", "webbrowser", report),
    ]


def _budget_lines(plan: Mapping[str, Any]) -> list[str]:
    budget, space = plan["budget"], plan["space"]
    limit, whole = budget["limit"], budget["denominator"]
    binds = "the budget binds" if budget["binds"] else "the budget does not bind"
    return [
        labelled(
            "space",
            f"{space['name']}: {space['sites']} sites, {space['gates']} gates, "
            f"{space['candidates']} candidates, combine {space['combine']}",
        ),
        *_narrowing_lines(space),
        *_frozen_lines(plan["frozen"]),
        labelled("budget", f"{limit:,} parameters = {share(limit, whole)} of {whole:,}"),
        labelled(
            "",
            f"cheapest non-empty {space['min_cost']:,} · largest {space['max_cost']:,} → {binds}",
        ),
        *_limit_lines(plan["limits"]),
    ]


def _limit_lines(limits: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each limit beside the parameters."""
    binds = {True: "it binds", False: "it does not bind"}
    return [labelled("", f"{one['text']} → {binds[one['binds']]}") for one in limits]


def _frozen_lines(frozen: Mapping[str, int]) -> list[str]:
    """Return what an earlier architecture decides, if one does."""
    if not frozen["sites"]:
        return []
    sites = f"{frozen['sites']} site" + "s" * (frozen["sites"] != 1)
    text = f"{sites} decided by freeze.choices, with {frozen['num_params']:,} parameters"
    return [labelled("frozen", text)]


def _narrowing_lines(space: Mapping[str, Any]) -> list[str]:
    """Return what was taken out of the space: a line for each method and reason."""
    targets = space["exportable_to"]
    removed = [Removed(**{**one, "targets": tuple(one["targets"])}) for one in space["removed"]]
    narrowed = [one for one in removed if one.targets]
    lines = [labelled("", str(one)) for one in removed if not one.targets]
    if targets:
        kept = "" if narrowed else ": it was before"
        told = f"everything in it can be exported to {', '.join(targets)}{kept}"
        lines += [labelled("", told), *(labelled("", f"  {one}") for one in narrowed)]
    return lines


def _fit(check: Mapping[str, Any]) -> str:
    """Say whether a target can hold a whole space, and else which of its methods it cannot."""
    if check["ok"]:
        return "all"
    answers = check["methods"]
    not_held = [method for method, answer in answers.items() if answer == "no"]
    in_part = [method for method, answer in answers.items() if answer == "in part"]
    if len(not_held) == len(answers):
        return "nothing"
    parts = [f"not {', '.join(not_held)}"] if not_held else []
    return "; ".join([*parts, *([f"{', '.join(in_part)} in part"] if in_part else [])])


def _data_line(data: Mapping[str, Any]) -> str:
    rows = {key: f"{value:,}" if isinstance(value, int) else "?" for key, value in data.items()}
    return (
        f"{rows.get('search_train', '?')} search-train + {rows.get('search_valid', '?')} "
        f"search-valid + {rows.get('selection', '?')} selection; "
        f"{rows.get('test', '?')} test, used once at the end"
    )


def row_lines(rows: Mapping[str, Any] | None) -> list[str]:
    """Return what is seen in the rows: labels, repetitions, and lengths in tokens."""
    if not rows:
        return []
    lines = [
        f"{split} labels: " + ", ".join(f"{number:,} {label}" for label, number in counts.items())
        for split, counts in rows["labels"].items()
    ]
    seen = ", ".join(
        f"{n:,} of {split} seen in training" for split, n in rows["seen_in_training"].items()
    )
    lines.append(f"repeated: {rows['repeated']:,} of train, {seen}")
    if rows["longest"] is not None:
        lines.append(f"longest input {rows['longest']:,} tokens, {rows['cut']:,} rows cut")
    return lines


def plan_lines(plan: Mapping[str, Any], config: RunConfig, command: str) -> list[str]:
    """Return the plan and the command that carries it out."""
    title = f"Plan for {plan['model']} on {plan['task']}"
    backbone = f"{plan['backbone_parameters']:,} parameters, {plan['family']}, {config.precision}"
    head = plan["head_parameters"]
    lines = [
        f"{title}  (nothing is trained, no weights are downloaded)",
        labelled("backbone", backbone + (f"; head {head:,}, trained beside" if head else "")),
        *_budget_lines(plan),
        labelled("data", _data_line(plan["data"])),
        *(labelled("", line) for line in row_lines(plan.get("rows"))),
    ]
    label = "steps"
    for stage in plan["stages"]:
        runs = f"{stage['trainings']} x " if stage["trainings"] > 1 else ""
        lines.append(labelled(label, f"{stage['name']} {runs}{stage['steps']:,}"))
        label = ""
    lines.append(labelled("cost", f"{plan['single_trainings']:.1f} single trainings in all"))
    lines += [
        labelled("" if number else "memory", line)
        for number, line in enumerate(memory_lines(plan["memory_bytes"]))
    ]
    label = "export"
    for target, check in plan["exports"].items():
        lines.append(labelled(label, f"{target}: {_fit(check)}"))
        lines += [labelled("", f"  {reason}") for reason in check["reasons"]]
        label = ""
    lines += [f"Warning: {text}" for text in plan["warnings"]]
    return [*lines, f"Next: {command}"]


def architecture_lines(architecture: Architecture) -> list[str]:
    """Return an architecture: totals, parameters by method, and what each site gets."""
    used, limit = architecture.num_params, architecture.limit
    by_method: Counter[str] = Counter()
    sites: Counter[str] = Counter()
    for choice in architecture.active:
        by_method[choice.method] += choice.num_params
        sites[choice.method] += 1
    rows = [
        [c.site, c.method, str(c.size or ""), ",".join(c.modules), f"{c.num_params:,}"]
        for c in architecture.choices
        if c.method != NONE
    ]
    empty = sum(c.method == NONE for c in architecture.choices)
    return [
        f"Architecture for {architecture.model} on {architecture.task}",
        f"  {used:,} of {limit:,} parameters "
        f"({share(used, architecture.backbone_parameters)} of "
        f"{architecture.backbone_parameters:,})",
        *(f"  {m}: {sites[m]} sites, {n:,} parameters" for m, n in by_method.most_common()),
        f"  nothing: {empty} sites",
        *table([["site", "method", "size", "modules", "parameters"], *rows]),
    ]


def space_lines(spec: SpaceSpec, facts: Mapping[str, MethodFacts]) -> list[str]:
    """Return a search space: its description and, for each rule, where and what."""
    lines = [f"Search space {spec.name} (combine {spec.combine})"]
    lines += [f"  {' '.join(spec.description.split())}"] if spec.description else []
    for rule in spec.rules:
        chosen = [*rule.stacks, *(f"layer {n}" for n in rule.layers), *rule.parts]
        lines.append(", ".join(chosen) or "everywhere")
        for candidate in rule.candidates:
            sized = facts[candidate.method].sized
            sizes = f": {', '.join(map(str, candidate.sizes))}" if sized else ""
            modules = f" on {','.join(candidate.modules)}" if candidate.modules else ""
            lines.append(f"  {candidate.method}{modules}{sizes}")
    return lines


def run_lines(path: Path, config: RunConfig, stages: Mapping[str, Any]) -> list[str]:
    """Return a run: what it is about and how far it has got."""
    rows = [
        [name, stage["status"], f"{stage['seconds']:.0f} s", f"{stage['steps']:,} steps"]
        for name, stage in stages.items()
    ]
    unfinished = any(stage["status"] != "done" for stage in stages.values())
    more = f"Continue with: {paste('peftsearch', 'run', '--resume', path)}"
    return [
        f"Run {path}",
        f"  {config.model} on {config.task}, budget {config.budget}, space {config.space}, "
        f"preset {config.preset}, seed {config.seed}, {config.seeds} retraining seeds",
        *table(rows, "  "),
        *([more] if unfinished else []),
    ]


def size_of_machine(hardware: Mapping[str, Any]) -> str:
    """Return processors and memory, e.g. ``8 processors, 31.2 GiB``."""
    memory = hardware.get("memory_bytes")
    return f"{hardware['cpus']} processors" + (f", {size(memory)}" if memory else "")
