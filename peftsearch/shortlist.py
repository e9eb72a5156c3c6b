"""The shortlist: what the gates propose, what measures best, and the uniform architectures.

Place in the flow: search -> shortlist -> race. Reads the checkpoint of the search; writes
``search/measured.json``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch

from peftsearch import baselines as plain
from peftsearch import checkpoint
from peftsearch.backbones.base import head_parameters
from peftsearch.discretise import solve
from peftsearch.errors import BudgetError
from peftsearch.formats import Feature
from peftsearch.race import Contestant, best_measured
from peftsearch.search.loop import CHECKPOINT
from peftsearch.search.measure import draw, measure
from peftsearch.seeds import derive
from peftsearch.space import SearchSpace
from peftsearch.supernet.supernet import Supernet
from peftsearch.tasks import metrics
from peftsearch.tasks.base import Task
from peftsearch.workspace import Workspace

#: Share of the budget that a proposal of the gates uses at least.
_LEAST_USE = 0.9
#: Share of the gates in which two knapsack proposals must differ.
_DIVERSITY = 0.1


def build_supernet(work: Workspace) -> Supernet:
    """Insert every candidate of ``space.json`` into the backbone, with fresh weights."""
    work.seed_everything("supernet")
    work.backbone.reset_head(derive(work.config.seed, "supernet", "head"))
    space = SearchSpace.from_json(work.session.run.read_json("space.json"))
    return Supernet(work.backbone, space)


def shortlist(work: Workspace) -> list[Contestant]:
    """Return proposals of the gates, the best measured, and the uniform architectures.

    Only uniform architectures of methods that the space has: what is found lies in the space.
    """
    supernet = build_supernet(work)
    try:
        tensors, _ = checkpoint.load(work.session.run.file(CHECKPOINT))
        checkpoint.restore_weights(supernet.named_weights(), tensors)
        checkpoint.restore_weights({"alphas": supernet.gates.alphas}, tensors)
        checkpoint.restore_weights(dict(head_parameters(work.backbone.model)), tensors)
        proposed, measured = _proposals(work, supernet)
    finally:
        supernet.remove()
    space = supernet.space
    methods = {candidate.method for _, candidate in space.choices()}
    uniform = plain.uniform_baselines(work.backbone.sites, work.cost, work.budget.limit)
    named = {
        **{f"gates-{i + 1}": plain.to_choices(space, c) for i, c in enumerate(proposed)},
        **{f"supernet-{i + 1}": plain.to_choices(space, c) for i, c in enumerate(measured)},
        **plain.inside(uniform, methods),
    }
    contestants: dict[Any, Contestant] = {}
    for name, choices in named.items():
        architecture = work.architecture(choices)
        # The same architecture races once, under the name it was found by first.
        contestants.setdefault(
            architecture.choices, Contestant(name, name.split("-")[0], architecture)
        )
    return list(contestants.values())


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
        try:
            proposed.append(_knapsack(space, values, limit, proposed, apart))
        except BudgetError:
            if not proposed:
                raise
            break  # so small a space has no more architectures that differ
    seed = derive(config.seed, "measure")
    drawn = draw(supernet, limit, config.search.measured, seed)
    listed = list(dict.fromkeys([*map(tuple, proposed), *drawn]))
    features = work.features.search_valid[: config.search.valid_rows]
    samples = measure(work.session, supernet, work.task, work.format, features, listed)
    work.session.run.write_json(
        "search/measured.json",
        {
            "format": 1,
            "metric": work.task.metric,
            "chance": _chance(work.task, features),
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


def _chance(task: Task, features: Sequence[Feature]) -> float:
    """Return the best score of always giving the same answer.

    Of texts only the most frequent is tried: there are about as many as there are rows.
    """
    references = [feature.reference for feature in features]
    tried = 1 if task.kind == "generation" else None
    return max(
        metrics.score(task.metrics, references, [answer] * len(references))[task.metric]
        for answer, _ in Counter(references).most_common(tried)
    )
