"""The stages of a run, each a function of the workspace that reads and writes files.

Each reads the files of the stages before it, so each can run alone on a run directory.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from peftsearch import baselines as plain
from peftsearch import checkpoint
from peftsearch.architecture import Architecture
from peftsearch.discretise import solve
from peftsearch.errors import BudgetError, ConfigError, ExportError
from peftsearch.export.base import Bundle, exporter, logits_of, verify
from peftsearch.injection import insert_architecture, load_state, remove_all
from peftsearch.race import Contestant, best_measured, run_race
from peftsearch.retrain import ADAPTER, HEAD, retrain
from peftsearch.rundir import read_json, write_json
from peftsearch.search.loop import CHECKPOINT, Search
from peftsearch.search.measure import draw, measure
from peftsearch.seeds import derive
from peftsearch.space import SearchSpace
from peftsearch.supernet.supernet import Supernet
from peftsearch.workspace import Workspace

#: Share of the budget that a proposal of the gates uses at least.
_LEAST_USE = 0.9
#: Share of the gates in which two knapsack proposals must differ.
_DIVERSITY = 0.1


def prepare(work: Workspace) -> int:
    """Write sites, space and the fingerprint of the data."""
    backbone, run = work.backbone, work.session.run
    run.write_json(
        "sites.json",
        {
            "format": 1,
            "family": backbone.family,
            "backbone_parameters": backbone.num_parameters,
            "head_parameters": backbone.num_head_parameters,
            "max_cost": work.full_space.max_cost,
            "sites": [site.to_json() for site in backbone.sites],
        },
    )
    run.write_json("space.json", work.space.to_json())
    return 0


def search(work: Workspace) -> int:
    """Train the supernet and its gates."""
    splits, config = work.splits, work.config
    supernet = _supernet(work)
    try:
        loop = Search(
            work.session,
            supernet,
            work.budget.limit,
            work.format,
            work.format.features(splits.search_train),
            work.format.features(splits.search_valid),
        )
        with loop.trace:
            loop.run()
    finally:
        supernet.remove()
    return config.search.steps


def _supernet(work: Workspace) -> Supernet:
    work.seed_everything("supernet")
    work.backbone.reset_head(derive(work.config.seed, "supernet", "head"))
    space = SearchSpace.from_json(work.session.run.read_json("space.json"))
    return Supernet(work.backbone, space)


def discretise(work: Workspace) -> int:
    """Propose from the gates, measure on the supernet, race, and write the winner."""
    run = work.session.run
    if not run.file(CHECKPOINT).is_file():
        raise ConfigError(f"{run.path} has no finished search.", f"peftsearch search {run.path}")
    contestants = _shortlist(work)
    splits = work.splits
    result = run_race(
        work.session,
        work.backbone,
        work.task,
        work.format,
        [*splits.search_train, *splits.search_valid],
        splits.selection,
        contestants,
    )
    winner = next(c for c in contestants if c.name == result["winner"])
    run.write_json("race.json", result)
    winner.architecture.save(run.file("architecture.json"))
    return work.config.race.steps * len(contestants)


def _shortlist(work: Workspace) -> list[Contestant]:
    """Return proposals of the gates, the best measured, and the uniform baselines."""
    supernet = _supernet(work)
    try:
        tensors, _ = checkpoint.load(work.session.run.file(CHECKPOINT))
        checkpoint.restore_weights(supernet.named_weights(), tensors)
        checkpoint.restore_weights({"alphas": supernet.gates.alphas}, tensors)
        _restore_head(work, tensors)
        proposed, measured = _proposals(work, supernet)
    finally:
        supernet.remove()
    space = supernet.space
    named = {
        **{f"gates-{i + 1}": plain.to_choices(space, c) for i, c in enumerate(proposed)},
        **{f"supernet-{i + 1}": plain.to_choices(space, c) for i, c in enumerate(measured)},
        **plain.uniform_baselines(work.backbone.sites, work.cost, work.budget.limit),
    }
    contestants: dict[Any, Contestant] = {}
    for name, choices in named.items():
        architecture = work.architecture(choices)
        # The same architecture races once, under the name it was found by first.
        contestants.setdefault(
            architecture.choices, Contestant(name, name.split("-")[0], architecture)
        )
    return list(contestants.values())


def _restore_head(work: Workspace, tensors: dict[str, torch.Tensor]) -> None:
    from peftsearch.backbones.base import head_parameters

    checkpoint.restore_weights(dict(head_parameters(work.backbone.model)), tensors)


def _proposals(work: Workspace, supernet: Supernet) -> tuple[list[list[int]], list[list[int]]]:
    """Return candidate indices from the knapsack over the gates, and from measurement.

    Half of the contestants (rounded down, at least one) come from the gates.
    """
    config, space, limit = work.config, supernet.space, work.budget.limit
    with torch.no_grad():
        log_p = supernet.gates.log_prior()
        _, price = supernet.gates.priced(log_p, float(limit))
    values = [
        row[: len(gate.candidates)].tolist() for row, gate in zip(log_p, space.gates, strict=True)
    ]
    from_gates = max(1, config.race.contestants // 2)
    apart = max(1, round(_DIVERSITY * len(space.gates)))
    proposed: list[list[int]] = []
    for _ in range(from_gates):
        proposed.append(_knapsack(space, values, limit, proposed, apart))
    seed = derive(config.seed, "measure")
    drawn = draw(supernet, limit, config.search.measured, seed)
    listed = list(dict.fromkeys([*map(tuple, proposed), *drawn]))
    rows = work.splits.search_valid[: config.search.valid_rows]
    features = work.format.features(rows)
    samples = measure(work.session, supernet, work.task, work.format, rows, features, listed)
    work.session.run.write_json(
        "search/measured.json",
        {
            "format": 1,
            "metric": work.task.metric,
            "chance": _chance(work, rows),
            "price": float(price),
            "values": values,
            "samples": [
                {"num_params": s.num_params, "score": s.score, "loss": s.loss} for s in samples
            ],
        },
    )
    best = best_measured(samples, config.race.contestants)
    others = [list(s.candidates) for s in best if list(s.candidates) not in proposed]
    return proposed, others[: max(0, config.race.contestants - from_gates)]


def _knapsack(
    space: SearchSpace,
    values: list[list[float]],
    limit: int,
    exclude: list[list[int]],
    apart: int,
) -> list[int]:
    """Return the most probable architecture that uses the budget.

    Where the price binds, the gates spend the budget *in expectation*; their single most
    probable architecture may still be nearly empty. So the knapsack is held to the shell in
    which typical samples lie.
    """
    try:
        return solve(space, values, limit, exclude, apart, least_cost=int(_LEAST_USE * limit))
    except BudgetError:  # the whole space costs less than that
        return solve(space, values, limit, exclude, apart)


def _chance(work: Workspace, rows: list[dict[str, Any]]) -> float:
    """Return the best score of always giving the same answer."""
    from peftsearch.evaluate import scores

    references = work.format.references(rows)
    answers = sorted(set(references))
    return max(
        scores(work.task, references, [answer] * len(rows))[work.task.metric] for answer in answers
    )


def retrain_found(work: Workspace) -> int:
    """Retrain the found architecture over all seeds."""
    run = work.session.run
    architecture = found_architecture(work)
    folder = run.file("retrain")
    result = retrain(work.session, work.backbone, work.task, work.format, work.splits,
                     architecture, "found", "retrain", folder)  # fmt: skip
    write_json(folder / "metrics.json", {"format": 1, "name": "found", **result})
    return work.config.retrain.steps * work.config.seeds


def found_architecture(work: Workspace) -> Architecture:
    """Read ``architecture.json``.

    Raises:
        ConfigError: Nothing has been discretised yet.
    """
    path = work.session.run.file("architecture.json")
    if not path.is_file():
        raise ConfigError(
            f"{path.parent} has no architecture yet.", f"peftsearch discretise {path.parent}"
        )
    return Architecture.load(path)


def run_baselines(work: Workspace) -> int:
    """Retrain every baseline at the same budget; one equal to the found one is not run twice."""
    run, config = work.session.run, work.config
    limit = work.budget.limit
    space = SearchSpace.from_json(run.read_json("space.json"))
    named = plain.uniform_baselines(work.backbone.sites, work.cost, limit)
    for i in range(config.retrain.random_baselines):
        filled = plain.random_fill(space, limit, derive(config.seed, "random", i))
        named[f"random-{i + 1}"] = plain.to_choices(space, filled)
    found = run.read_json("architecture.json")["choices"] if _done(work, "retrain") else None
    trained = 0
    for name, choices in named.items():
        architecture = work.architecture(choices)
        folder = run.file("baselines", name)
        architecture.save(folder / "architecture.json")
        if architecture.to_json()["choices"] == found:
            result = read_json(run.file("retrain", "metrics.json"))
            result.pop("name")
        else:
            result = retrain(work.session, work.backbone, work.task, work.format, work.splits,
                             architecture, name, "baselines", folder)  # fmt: skip
            trained += 1
        write_json(folder / "metrics.json", {"format": 1, "name": name, **result})
    return config.retrain.steps * config.seeds * trained


def _done(work: Workspace, stage: str) -> bool:
    return work.session.run.file(stage, "metrics.json").is_file()


def export(work: Workspace, targets: tuple[str, ...] | None = None) -> int:
    """Export to every configured target that can express the architecture, and verify."""
    for target in targets or work.config.export.targets:
        run = work.session.run
        found = exporter(target).problems(found_architecture(work))
        if found:
            record = {"format": 1, "target": target, "verified": False}
            record["problems"] = [problem.to_json() for problem in found]
            run.write_json(f"export/{target}.json", record)
            continue
        export_to(work, target, run.file("export", target))
    return 0


def export_to(work: Workspace, target: str, folder: Path) -> dict[str, Any]:
    """Write one export of the first seed's weights and verify it by loading it back.

    The first seed, not the best: the test split must not choose.

    Raises:
        ExportError: The target cannot express the architecture, or does not reproduce it.
    """
    module = exporter(target)
    architecture = found_architecture(work)
    found = module.problems(architecture)
    if found:
        lines = "\n".join(f"  {p.site}: {p.method}: {p.reason}" for p in found)
        raise ExportError(
            f"{target} cannot express this architecture:\n{lines}",
            "Use --to native, or search again with --space peft_lossless.",
        )
    bundle = make_bundle(work, architecture)
    module.write(bundle, folder)
    check = {**verify(bundle, target, folder), "load": module.snippet(bundle, folder)}
    write_json(folder / "check.json", check)
    if not check["verified"]:
        raise ExportError(
            f"The {target} export in {folder} does not reproduce the model: its logits differ "
            f"by {check['max_logit_difference']:.2e} (allowed {check['tolerance']:.0e})."
        )
    return check


def make_bundle(work: Workspace, architecture: Architecture) -> Bundle:
    """Put the first seed's weights on the backbone, note its logits, and take them off."""
    from safetensors.torch import load_file

    from peftsearch.backbones.base import head_parameters

    folder = work.session.run.file("retrain", "seed-0")
    if not (folder / "metrics.json").is_file():
        path = work.session.run.path
        raise ConfigError(f"{path} has no retrained weights yet.", f"peftsearch retrain {path}")
    weights = load_file(folder / ADAPTER) if (folder / ADAPTER).is_file() else {}
    head = load_file(folder / HEAD) if (folder / HEAD).is_file() else {}
    features = work.format.features(work.splits.selection[:8])
    inputs = work.format.collate(features)
    # Half precision would blur the comparison; every bfloat16 number is a float32 number too.
    model = work.backbone.model.float()
    insertions = insert_architecture(work.backbone.hosts, architecture)
    try:
        load_state(insertions, weights)
        checkpoint.restore_weights(dict(head_parameters(model)), head)
        logits = logits_of(model, inputs)
    finally:
        remove_all(insertions)
    return Bundle(architecture, weights, head, work.backbone, inputs, logits)


#: Function of each stage that computes, by name; ``report`` needs no workspace.
COMPUTE: dict[str, Callable[[Workspace], int]] = {
    "prepare": prepare,
    "search": search,
    "discretise": discretise,
    "retrain": retrain_found,
    "baselines": run_baselines,
    "export": export,
}
