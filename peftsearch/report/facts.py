"""Single values of a run: what was asked for, what was used, what it cost.

Place in the flow: part of collect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peftsearch.report.read import Reader
from peftsearch.report.wording import plural
from peftsearch.space import Removed


@dataclass(frozen=True)
class Facts:
    """Single values of a run.

    Attributes:
        model: Model id or folder; ``""`` if nothing says.
        task: Task name.
        metric: Primary metric of the scores.
        higher_is_better: Whether a larger score is the better one.
        requested: The budget as typed.
        limit: The budget in parameters; ``None`` before the backbone was counted.
        used: Parameters of the found architecture.
        denominator: Parameters of the frozen backbone.
        head: Parameters of the task head, outside the budget.
        family: Backbone family, e.g. ``t5``.
        space: Name of the search space.
        description: The space's own description.
        combine: ``one`` or ``many`` methods for a site.
        beforehand: Sentences on what the search could not decide, or not choose.
        command: The command line that made the run.
        headline: First line of the summary.
        winner: Name of the contestant that won the race.
        single_trainings: Cost of searching and deciding in trainings of one architecture.
        single_seconds: Seconds of one such training.
        peft_base: Base model named by the PEFT export.
        peft_task: Task type named by the PEFT export.
    """

    model: str = ""
    task: str = ""
    metric: str = ""
    higher_is_better: bool = True
    requested: str = ""
    limit: int | None = None
    used: int | None = None
    denominator: int | None = None
    head: int | None = None
    family: str = ""
    space: str = ""
    description: str = ""
    combine: str = "one"
    beforehand: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    headline: str = ""
    winner: str = ""
    single_trainings: float | None = None
    single_seconds: float | None = None
    peft_base: str = ""
    peft_task: str = ""


def facts(
    reader: Reader,
    config: Mapping[str, Any],
    files: Mapping[str, Mapping[str, Any]],
    race: Mapping[str, Any],
) -> Facts:
    """Gather the single values from every file that may hold them, the summary first."""
    summary, found, sites = files["summary"], files["architecture"], files["sites"]
    budget = {**found.get("budget", {}), **summary.get("budget", {})}
    cost, space = summary.get("cost", {}), files["space"]
    peft = reader.json("export/peft/adapter_config.json")
    return Facts(
        model=str(summary.get("model") or found.get("model") or config.get("model") or ""),
        task=str(summary.get("task") or found.get("task") or config.get("task") or ""),
        metric=str(summary.get("metric") or race.get("metric") or ""),
        higher_is_better=bool(summary.get("higher_is_better", True)),
        requested=str(budget.get("requested") or config.get("budget") or ""),
        limit=budget.get("limit"),
        used=budget.get("used", found.get("num_params")),
        denominator=budget.get("denominator")
        or found.get("backbone_parameters")
        or sites.get("backbone_parameters"),
        head=budget.get("head", sites.get("head_parameters")),
        family=str(sites.get("family", "")),
        space=str(space.get("name") or config.get("space") or ""),
        description=str(space.get("description", "")),
        combine=str(space.get("combine", "one")),
        beforehand=(*_kept(reader, config), *_removed(space), *_limits(reader)),
        command=tuple(map(str, files["manifest"].get("command") or ())),
        headline=str(summary.get("headline", "")),
        winner=str(race.get("winner", "")),
        single_trainings=cost.get("single_trainings"),
        single_seconds=cost.get("single_training_seconds"),
        peft_base=str(peft.get("base_model_name_or_path") or ""),
        peft_task=str(peft.get("task_type") or ""),
    )


def _kept(reader: Reader, config: Mapping[str, Any]) -> list[str]:
    """Say what an earlier architecture decided, if one did."""
    frozen = reader.json("frozen.json")
    if not frozen:
        return []
    busy = {choice["site"] for choice in frozen["choices"] if choice["num_params"]}
    source = config.get("freeze", {}).get("choices")
    return [
        f"Decided before the search, by {source}: {plural(len(busy), 'site')} with "
        f"{frozen['num_params']:,} parameters. The search spent the rest of the budget elsewhere."
    ]


def _limits(reader: Reader) -> list[str]:
    """Say what is limited beside the parameters, and what was spent of it."""
    found = reader.json("limits.json")
    said = [f"Limited besides: {row['text']}." for row in found.get("limits", ())]
    flops = found.get("training_flops")
    if flops and said:
        said.append(
            f"A training takes {flops['found']:.3g} FLOPs, "
            f"{100 * flops['found'] / flops['lora_everywhere']:.0f} % of LoRA at every site; "
            f"{100 * flops['backward_of_backbone'] / flops['found']:.0f} % of them are the "
            "backward pass through the backbone."
        )
    return said


def _removed(space: Mapping[str, Any]) -> list[str]:
    """Say what was taken out of the space so that targets can hold whatever is found."""
    removed = (Removed(**{**one, "targets": tuple(one["targets"])})
               for one in space.get("removed", ()))  # fmt: skip
    return [f"Not searched: {one}." for one in removed]
