"""Ours: priced gates propose, measurement and real trainings decide, the knapsack keeps the budget.

1. Gates under one price per parameter are trained bilevel on hard samples near the budget.
2. The supernet's loss is measured on architectures within the budget, and an additive model is
   fitted; its prior opinion is what the loss would miss most, to first order.
3. A knapsack over the model's values proposes the best architecture. It races with random fills
   of the budget and uniform architectures that the values like as well, and with uniform LoRA,
   which is what one would take without a search.

Source: ours; the pieces are DARTS (arXiv 1806.09055), a multiple-choice knapsack and successive
halving (arXiv 1502.07943).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from peftsearch import baselines, effort
from peftsearch.architecture import NONE, Architecture
from peftsearch.discretise import solve
from peftsearch.errors import BudgetError
from peftsearch.race import Contestant, Trials, halving
from peftsearch.search.loop import search_seed
from peftsearch.search.measure import draw
from peftsearch.seeds import derive
from peftsearch.space import SearchSpace
from peftsearch.strategies import base
from peftsearch.strategies.saliency import importance
from peftsearch.supernet.gates import PricedGates
from peftsearch.transfer import opinion
from peftsearch.values import ValueModel, Values, additive, fit, scaled, standardised
from peftsearch.workspace import Workspace

STRATEGY = {
    "name": "priced",
    "title": "priced gates, measured values, knapsack and race (the default)",
    "reference": "ours",
}
#: Random fills of the budget that are asked for, and the share of them whose values are liked.
_FILLS, _LIKED = 60, 1 / 3
#: Share of the gates in which two proposals of the knapsack differ.
_DIVERSITY = 0.1
#: What one would take without a search: it races whether the values like it or not.
_USUAL = "uniform-lora"
#: One contestant in so many is a random fill that the values have no say in.
_RANDOM_IN = 8
#: Draws from the posterior that say how certain the winner is.
_PLAUSIBLE = 40


def search(work: Workspace) -> int:
    """Train the supernet and its priced gates, once for each search seed."""
    base.allowance(work, spent(work))
    return sum(
        base.train_supernet(work, first_gates(work), number=number)
        for number in range(work.config.search.seeds)
    )


def first_gates(work: Workspace) -> PricedGates:
    """Return gates that prefer nothing, or what an earlier run says."""
    gates = PricedGates(work.space)
    earlier = earlier_opinion(work)
    if earlier is not None:
        with torch.no_grad():
            for row, values in zip(gates.alphas, earlier, strict=True):
                row[: len(values)] = torch.tensor(values, dtype=row.dtype)
    return gates


def earlier_opinion(work: Workspace) -> Values | None:
    """Return what ``search.warm_start`` says of the candidates, times its strength."""
    settings = work.config.search
    if settings.warm_start is None or not settings.warm_strength:
        return None
    found = opinion(Path(settings.warm_start), work.space)
    return [[settings.warm_strength * value for value in row] for row in found]


def choose(work: Workspace, trials: Trials) -> base.Verdict:
    """Propose by measured values, and let real trainings decide."""
    opinions = [ask(work, number) for number in range(work.config.search.seeds)]
    earlier = earlier_opinion(work)
    model = together(work.space, opinions, earlier)
    alone = [together(work.space, [one], earlier) for one in opinions]
    if len(alone) > 1:
        write_alone(work, alone)
    left = base.allowance(work, spent(work), trials.scoring)
    count, shares = effort.field(left, base.shares(work), trials.scoring)
    besides = others(work, trials, model.values(), count)
    found = proposals(work, model.values(), count - len(besides))
    standings = halving(trials, base.different([*besides, *found]), shares)
    certain = certainty(work, alone, standings[0].contestant.architecture)
    return base.Verdict(standings, model.values(), certain)


def proposals(work: Workspace, values: Values, count: int) -> list[Contestant]:
    """Return the best architecture within the budget, and random fills that are liked.

    The next best ones of the knapsack share its mistakes: values that are wrong are wrong in all
    of them. Random fills differ in everything, and the better third of them is nearly as good.
    Where so small a space has too few of them, the knapsack's next best follow.
    """
    best = solutions(work.space, values, work.free, 1)
    fills = base.random_fills(work, _FILLS)
    least = liked(values, fills)
    wanted = [*best, *(fill for fill in fills if additive(values, fill) >= least)]
    found = list(dict.fromkeys(map(tuple, wanted)))[:count]
    if len(found) < count:
        further = solutions(work.space, values, work.free, count - len(found), found)
        found += map(tuple, further)
    return [base.contestant(work, f"gates-{i}", c) for i, c in enumerate(found, start=1)]


def liked(values: Values, fills: Sequence[Sequence[int]]) -> float:
    """Return what the worst of the better third of random fills is worth."""
    worths = sorted((additive(values, fill) for fill in fills), reverse=True)
    return worths[max(1, round(_LIKED * len(worths))) - 1] if worths else -math.inf


def solutions(
    space: SearchSpace,
    values: Values,
    limit: int,
    count: int,
    found: Sequence[Sequence[int]] = (),
) -> list[list[int]]:
    """Return the best architectures that differ in a share of the gates, from ``found`` too."""
    apart = max(1, round(_DIVERSITY * len(space.gates)))
    new: list[list[int]] = []
    for _ in range(count):
        try:
            new.append(solve(space, values, limit, [*map(list, found), *new], apart, least_cost=1))
        except BudgetError:
            break  # so small a space has no more architectures that differ
    return new


def others(work: Workspace, trials: Trials, values: Values, count: int) -> list[Contestant]:
    """Return what races besides, of ``count``: uniform architectures, and random fill.

    The usual architecture races if there is room for a uniform one; others, and what stands in for
    it, where the values like them as they must like a random fill. Those they like best come
    first, and all of them have at most a share of the race.
    """
    least = liked(values, base.random_fills(work, _FILLS))
    worths = []
    for entry in base.uniform_contestants(work, trials):
        inside = baselines.uniform_in(work.space, baselines.UNIFORM[entry.name], work.free)
        worth = additive(values, inside) if inside else -math.inf
        usual = entry.name == _USUAL and not entry.stand_in
        worths.append((math.inf if usual else worth, entry))
    worths.sort(key=lambda pair: pair[0], reverse=True)
    uniform = [entry for worth, entry in worths if worth >= least]
    uniform = uniform[: int(count * work.config.race.besides)]
    random = base.random_contestants(work, count // _RANDOM_IN)
    return base.different([*uniform, *random])[: count - 1]


def spent(work: Workspace) -> float:
    """Return the cost of all searches, importance and measurement, in single trainings."""
    rows = min(work.config.search.valid_rows, len(work.features.search_valid))
    return effort.supernet_trainings(work.config, rows)


@dataclass(frozen=True)
class Opinion:
    """What one supernet says.

    Attributes:
        drawn: Candidate indices of the measured architectures.
        losses: The loss of each.
        importance: First-order importance of every candidate, by gate.
    """

    drawn: Sequence[tuple[int, ...]]
    losses: Sequence[float]
    importance: Values


def together(
    space: SearchSpace, opinions: Sequence[Opinion], earlier: Values | None = None
) -> ValueModel:
    """Fit values to what several supernets say; the losses of each are compared among themselves.

    Importance needs hardly any passes and is a good prior; alone it does not know the budget.

    Args:
        space: Gates and candidates.
        opinions: What each supernet says.
        earlier: What an earlier run says, added to the prior, in units of :func:`scaled`.
    """
    drawn = [architecture for one in opinions for architecture in one.drawn]
    goodness = [score for o in opinions for score in standardised([-loss for loss in o.losses])]
    rows = zip(*(one.importance for one in opinions), strict=True)
    prior = [np.mean(row, axis=0).tolist() for row in rows]
    if earlier is not None:
        flat = iter(scaled(prior).tolist())
        prior = [[next(flat) + value for value in row] for row in earlier]
    return fit(space, drawn, goodness, prior)


def ask(work: Workspace, number: int) -> Opinion:
    """Measure architectures within the budget on the supernet of one of the searches."""
    gates = PricedGates(work.space)
    supernet = base.restore_supernet(work, gates, number)
    config, limit = work.config, work.free
    try:
        with torch.no_grad():
            log_p = gates.log_prior()
            _, price = gates.distribution(float(limit))
        seed = derive(search_seed(config, number), "measure")
        drawn = draw(supernet, limit, config.search.measured, seed)
        samples = base.measure_all(work, supernet, drawn)
    finally:
        supernet.remove()
    pairs = zip(log_p, work.space.gates, strict=True)
    from_gates = [row[: len(gate.candidates)].tolist() for row, gate in pairs]
    found = Opinion(drawn, [sample.loss for sample in samples], importance(work, number))
    values = together(work.space, [found], earlier_opinion(work)).values()
    base.write_measured(work, samples, number, price=float(price), values=values, gates=from_gates)
    return found


def write_alone(work: Workspace, models: Sequence[ValueModel]) -> None:
    """Write what each search would propose by itself: ``search/seed-N/architecture.json``."""
    for number, model in enumerate(models):
        (first,) = proposals(work, model.values(), 1)
        file = work.session.run.file(f"search/seed-{number}", "architecture.json")
        first.architecture.save(file)


def certainty(work: Workspace, models: Sequence[ValueModel], winner: Architecture) -> list[float]:
    """Return for each gate how often the best architecture takes the winner's method there.

    The best under values drawn from the posterior of each search in turn: what else they could
    be, after all that its supernet was asked. The race is not part of it.
    """
    rng = np.random.default_rng(derive(work.config.seed, "certainty"))
    chosen = {(choice.site, choice.method) for choice in winner.active}
    agreed = np.zeros(len(work.space.gates))
    for i in range(_PLAUSIBLE):
        best = solve(work.space, models[i % len(models)].draw(rng), work.free)
        for g, (gate, taken) in enumerate(zip(work.space.gates, best, strict=True)):
            own = {c.method for c in gate.candidates if (gate.site.id, c.method) in chosen}
            agreed[g] += gate.candidates[taken].method in (own or {NONE})
    return [float(share) for share in agreed / _PLAUSIBLE]
