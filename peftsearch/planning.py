"""``plan``: what a run would do and cost, from the model's config alone."""

from __future__ import annotations

from typing import Any

from peftsearch import effort
from peftsearch.budget import resolve
from peftsearch.config import RunConfig

#: Bytes per trained value: weight, gradient and Adam's two moments in float32.
_TRAINED = 16
#: Rough count of saved activations per token and layer, in units of the model's width.
_ACTIVATIONS = 24
#: Rows that score the race, where their number is not known without a download.
_SELECTION = 200


def plan(config: RunConfig) -> dict[str, Any]:
    """Count everything on the meta device; train nothing, download no weights.

    Raises:
        BudgetError: Nothing fits.
        ConfigError: Something in the configuration is wrong.
        MissingError: The model's config cannot be had.
    """
    from peftsearch import tasks
    from peftsearch.backbones.loading import sketch_backbone
    from peftsearch.baselines import uniform_baselines
    from peftsearch.formats import require_decoder
    from peftsearch.injection import cost_function
    from peftsearch.workspace import build_space, given_baselines, num_labels

    task = tasks.get(config.task)
    backbone = sketch_backbone(config.model, num_labels(task))
    require_decoder(task, backbone.model.config)
    cost = cost_function(backbone.hosts)
    full = build_space(config, backbone.sites, cost)
    budget = resolve(config.budget, backbone.num_parameters)
    space = full.within(budget.limit)
    uniform = uniform_baselines(backbone.sites, cost, budget.limit)
    given = given_baselines(config, backbone.sites, cost, budget.limit)
    data = _data(config, task)
    stages = _stages(config, len(uniform) + len(given), data["selection"] or _SELECTION)
    return {
        "format": 1,
        "model": config.model,
        "task": task.name,
        "family": backbone.family,
        "backbone_parameters": backbone.num_parameters,
        "head_parameters": backbone.num_head_parameters,
        "space": {
            "name": full.name,
            "sites": len({gate.site for gate in full.gates}),
            "gates": len(full.gates),
            "candidates": full.num_candidates,
            "combine": full.combine,
            "min_cost": full.min_cost,
            "max_cost": full.max_cost,
            "dropped": full.num_candidates - space.num_candidates,
        },
        "budget": {
            "requested": budget.requested,
            "limit": budget.limit,
            "denominator": budget.denominator,
            "binds": full.binds(budget.limit),
        },
        "data": data,
        "stages": stages,
        "single_trainings": _trainings(config, stages),
        "memory_bytes": _memory(config, backbone, space, task),
        "exports": _exports(full, backbone),
        "baselines": sorted([*uniform, *given]),
        "warnings": _warnings(config, full, budget, uniform) + _notes(full, backbone),
    }


def _stages(config: RunConfig, named: int, selection: int) -> list[dict[str, Any]]:
    """Return steps and number of trainings of each stage; the race is limited, not fixed."""
    scoring = effort.measure_trainings(config, 1, selection)
    shares = effort.rungs(config.race.first_rung, config.race.last_rung)
    left = config.trainings - effort.supernet_trainings(config, config.search.valid_rows)
    steps = round(shares[-1] * config.retrain.steps)
    baselines = (named + config.retrain.random_baselines) * config.seeds
    return [
        {"name": "search", "steps": config.search.steps, "trainings": config.search.seeds},
        {"name": "race", "steps": steps, "trainings": effort.affordable(left, shares, scoring)},
        {"name": "retrain", "steps": config.retrain.steps, "trainings": config.seeds},
        {"name": "baselines", "steps": config.retrain.steps, "trainings": baselines},
    ]


def _trainings(config: RunConfig, stages: list[dict[str, Any]]) -> float:
    """Return the whole run in single trainings: search and race by their limit, and the rest."""
    return config.trainings + float(sum(stage["trainings"] for stage in stages[2:]))


def _data(config: RunConfig, task: Any) -> dict[str, int | None]:
    """Return the rows of each split, where they can be known without a download."""
    from pathlib import Path

    from peftsearch import tasks
    from peftsearch.tasks.base import Hub

    names = ("search_train", "search_valid", "selection", "test")
    if config.data is None and isinstance(task.source, Hub):
        return dict.fromkeys(names)
    folder = None if config.data is None else Path(config.data)
    data = tasks.load(task, folder, config.train_rows, config.test_rows, config.seed)
    splits = tasks.split(data, config.seed, config.selection_share)
    return {name: len(getattr(splits, name)) for name in names}


def _memory(config: RunConfig, backbone: Any, space: Any, task: Any) -> dict[str, Any]:
    """Return an estimate in bytes of the search, its largest stage."""
    width = 2 if config.precision == "bf16" else 4
    weights = sum(
        max((c.num_params for c in gate.candidates if c.method == method), default=0)
        for gate in space.gates
        for method in {c.method for c in gate.candidates}
    )
    settings = backbone.model.config
    layers = len({(s.stack, s.layer) for s in backbone.sites})
    tokens = config.search.batch_size // config.accumulation * task.max_length
    activations = tokens * layers * settings.hidden_size * _ACTIVATIONS * width
    return {
        "frozen_weights": backbone.num_parameters * width,
        "trained_weights_and_optimiser": weights * _TRAINED,
        "activations": activations,
        "note": "estimate; activations at the longest input, without gradient checkpointing",
    }


def _exports(space: Any, backbone: Any) -> dict[str, dict[str, Any]]:
    """Say for each target whether it can hold every candidate of the space."""
    from peftsearch.architecture import Choice
    from peftsearch.catalogue import exporters
    from peftsearch.export.writing import problems_alone

    found: dict[str, dict[str, Any]] = {}
    choices = [
        Choice(gate.site.id, c.method, c.size, c.modules, c.num_params)
        for gate, c in space.choices()
        if c.num_params
    ]
    for target in exporters():
        problems = problems_alone(target, choices, backbone)
        reasons = sorted({f"{p.method}: {p.reason}" for p in problems})
        found[target] = {"ok": not problems, "reasons": reasons}
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


def _warnings(config: RunConfig, full: Any, budget: Any, uniform: Any) -> list[str]:
    from peftsearch.baselines import UNIFORM

    found = []
    if not full.binds(budget.limit):
        found.append(
            f"The budget does not bind: the largest architecture ({full.max_cost:,} parameters) "
            f"fits {budget.limit:,}. There is nothing to trade; try a smaller budget."
        )
    elif full.max_cost < 1.5 * budget.limit:
        found.append("The budget hardly binds: the largest architecture is under 1.5 times it.")
    if config.seeds == 1:
        found.append("One retraining seed: the spread will not be known.")
    missing = sorted(set(UNIFORM) - set(uniform))
    if missing:
        found.append(f"Baselines that do not fit the budget: {', '.join(missing)}.")
    return found
