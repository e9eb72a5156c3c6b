"""``plan``: what a run would do and cost, from the model's config alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from peftsearch import effort
from peftsearch.budget import Budget, resolve
from peftsearch.config import RunConfig

#: Rows that score the race, where their number is not known without a download.
_SELECTION = 200


def plan(config: RunConfig) -> dict[str, Any]:
    """Count everything on the meta device; train nothing, download no weights.

    Raises:
        BudgetError: Nothing fits.
        ConfigError: Something in the configuration is wrong.
        MissingError: The model's config cannot be had.
    """
    from peftsearch.backbones.loading import sketch_backbone
    from peftsearch.baselines import uniform_baselines
    from peftsearch.formats.pairs_apart import pairs_apart
    from peftsearch.freezing import frozen
    from peftsearch.injection import cost_function
    from peftsearch.memory.planned import Asked, planned_memory
    from peftsearch.metering.planned import each_limit, planned_limits, training_flops
    from peftsearch.planned_rows import planned_rows, planned_task
    from peftsearch.workspace import build_space, given_baselines, head_for, wanted_format

    task = planned_task(config)
    outputs, head = head_for(task, config.model, wanted_format(config, task))
    backbone = sketch_backbone(config.model, outputs, head=head, description=config.backbone)
    cost = cost_function(backbone.hosts)
    kept = frozen(config.freeze, backbone.sites, cost)
    full = build_space(config, backbone, cost, kept)
    budget = resolve(config.budget, backbone.num_parameters)
    limits = planned_limits(config, backbone, cost, task.max_length, kept)
    space = limits.on(kept.within(full, budget.limit), kept.choices)
    uniform = uniform_baselines(backbone.sites, cost, budget.limit, limits.beside())
    given = given_baselines(config, backbone.sites, cost, budget.limit, limits)
    free = kept.free(budget.limit)
    asked = Asked(config, task, outputs, head, space, free, kept.choices, uniform)
    refused = _refused(config, uniform, backbone)
    data, rows = planned_rows(config, task, backbone)
    stages = _stages(config, len(uniform) + len(given), data["selection"] or _SELECTION)
    seen = [*([backbone.notice] if backbone.notice else []), *(rows["notices"] if rows else ())]
    seen += [*pairs_apart(task, config), *_warnings(config, full, free, uniform)]
    return {
        "format": 1,
        "model": config.model,
        "task": task.name,
        "family": backbone.family,
        "backbone_parameters": backbone.num_parameters,
        "head_parameters": backbone.num_head_parameters,
        "space": _space(full, space),
        "budget": _budget(budget, full.binds(free)),
        "limits": each_limit(limits, kept, full),
        "training_flops": training_flops(limits, backbone),
        "frozen": {"sites": len(kept.sites), "num_params": kept.num_params},
        "data": data,
        "rows": rows,
        "stages": stages,
        "single_trainings": _trainings(config, stages),
        "memory_bytes": planned_memory(asked, backbone),
        "exports": _exports(full, backbone),
        "baselines": sorted([*uniform, *given]),
        "baselines_not_exportable": refused,
        "warnings": [*seen, *_marked(refused), *_notes(full, backbone), *_not_yet(config)],
    }


def _budget(budget: Budget, binds: bool) -> dict[str, Any]:
    """Return the budget in parameters, and whether it forces a choice."""
    return {
        "requested": budget.requested,
        "limit": budget.limit,
        "denominator": budget.denominator,
        "binds": binds,
    }


def _space(full: Any, space: Any) -> dict[str, Any]:
    """Return the size of the space, what was taken out of it, and what does not fit the budget."""
    return {
        "name": full.name,
        "sites": len({gate.site for gate in full.gates}),
        "gates": len(full.gates),
        "candidates": full.num_candidates,
        "combine": full.combine,
        "min_cost": full.min_cost,
        "max_cost": full.max_cost,
        "dropped": full.num_candidates - space.num_candidates,
        "exportable_to": list(full.exportable_to),
        "removed": [removed.to_json() for removed in full.removed],
    }


def _stages(config: RunConfig, named: int, selection: int) -> list[dict[str, Any]]:
    """Return steps and number of trainings of each stage; the race is limited, not fixed."""
    scoring = effort.measure_trainings(config, 1, selection)
    rungs = effort.rungs(config.race.first_rung, config.race.last_rung)
    left = config.trainings - effort.supernet_trainings(config, config.search.valid_rows)
    raced, shares = effort.field(left, rungs, scoring)
    steps = round(shares[-1] * config.retrain.steps)
    baselines = (named + config.retrain.random_baselines) * config.seeds
    searches = config.search.seeds
    if config.architecture is not None:
        searches = raced = 0
    return [
        {"name": "search", "steps": config.search.steps, "trainings": searches},
        {"name": "race", "steps": steps, "trainings": raced},
        {"name": "retrain", "steps": config.retrain.steps, "trainings": config.seeds},
        {"name": "baselines", "steps": config.retrain.steps, "trainings": baselines},
    ]


def _trainings(config: RunConfig, stages: list[dict[str, Any]]) -> float:
    """Return the whole run in single trainings: search and race by their limit, and the rest."""
    searched = config.trainings if config.architecture is None else 0.0
    return searched + float(sum(stage["trainings"] for stage in stages[2:]))


def _exports(space: Any, backbone: Any) -> dict[str, dict[str, Any]]:
    """Say for each target whether it can hold the whole space, each of its methods, and why not."""
    from peftsearch.catalogue import exporters
    from peftsearch.export.narrowing import held

    found: dict[str, dict[str, Any]] = {}
    before = _candidates(space)
    for target in exporters():
        part = held(space, [target], backbone)
        after = _candidates(part)
        methods = {
            method: "yes" if after[method] == number else "in part" if after[method] else "no"
            for method, number in before.items()
        }
        by_reason: dict[str, list[str]] = {}
        for removed in part.removed:
            by_reason.setdefault(removed.reason, []).append(removed.method)
        reasons = [f"{', '.join(named)}: {reason}" for reason, named in by_reason.items()]
        found[target] = {"ok": not part.removed, "methods": methods, "reasons": reasons}
    return found


def _candidates(space: Any) -> Counter[str]:
    """Count the candidates of each method."""
    return Counter(c.method for _, c in space.choices() if c.num_params)


def _refused(config: RunConfig, uniform: Mapping[str, Any], backbone: Any) -> dict[str, list[str]]:
    """Return the targets of ``exportable_to`` that cannot hold a uniform baseline, by its name."""
    from peftsearch.architecture import Architecture
    from peftsearch.export.writing import problems

    found: dict[str, list[str]] = {}
    for name, choices in sorted(uniform.items()):
        architecture = Architecture(config.model, "", 0, "", 0, choices)
        refusing = [t for t in config.holders if problems(t, architecture, backbone)]
        if refusing:
            found[name] = refusing
    return found


def _marked(refused: Mapping[str, list[str]]) -> list[str]:
    """Say which baselines the search is compared with though they cannot be exported."""
    if not refused:
        return []
    names = "; ".join(f"{name} ({', '.join(targets)})" for name, targets in refused.items())
    return [f"Baselines that are compared with, and marked as not exportable: {names}."]


def _not_yet(config: RunConfig) -> list[str]:
    """Say which limits cannot be looked at before the run."""
    found = []
    if config.limits.latency is not None:
        found.append(f"--max-latency {config.limits.latency} is measured when the run begins.")
    if config.limits.train_flops is not None:
        found.append("FLOPs are planned at the longest input; a run counts the mean input.")
    return found


def _notes(space: Any, backbone: Any) -> list[str]:
    """Say where BitFit has no bias to train and adds one instead."""
    hosts = {host.site: host for host in backbone.hosts}
    touched = {(g.site, m) for g, c in space.choices() if c.method == "bitfit" for m in c.modules}
    bare = sum(getattr(hosts[s].modules[m], "bias", None) is None for s, m in touched)
    if not bare:
        return []
    rest = "" if bare == len(touched) else "; it trains the existing ones at the others"
    return [
        f"bitfit adds bias vectors at {bare:,} of {len(touched):,} modules, where the backbone has "
        f"none{rest}."
    ]


def _warnings(config: RunConfig, full: Any, free: int, uniform: Any) -> list[str]:
    from peftsearch.baselines import UNIFORM

    found = []
    if not full.binds(free):
        found.append(
            f"The budget does not bind: the largest architecture ({full.max_cost:,} parameters) "
            f"fits {free:,}. There is nothing to trade; try a smaller budget."
        )
    elif full.max_cost < 1.5 * free:
        found.append("The budget hardly binds: the largest architecture is under 1.5 times it.")
    if config.seeds == 1:
        found.append("One retraining seed: the spread will not be known.")
    refused = {f"uniform-{one.method}" for one in full.removed if not one.targets}
    missing = sorted(set(UNIFORM) - set(uniform) - refused)
    if missing:
        found.append(f"Baselines that do not fit the budget: {', '.join(missing)}.")
    return found
