"""Optuna's TPE over architectures, each scored by a real training."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.trial import TrialState

from peftsearch.baselines import trimmed
from peftsearch.discretise import cost_of, fits
from peftsearch.race import Standing, Trials
from peftsearch.seeds import derive
from peftsearch.space import SearchSpace
from peftsearch.strategies.base import Verdict, allowance, contestant, no_search, shares
from peftsearch.workspace import Workspace

STRATEGY = {
    "name": "tpe",
    "title": "Optuna's TPE over architectures with real trainings",
    "reference": "the way of AutoPEFT (Zhou et al. 2024, arXiv 2301.12132), with TPE in place of "
    "its Gaussian process, trainings cut short at a quarter, and over-budget draws repaired "
    "instead of a second objective",
}

#: Share of a single training at which candidates are scored; as much as AutoPEFT's low fidelity.
_FIDELITY = 0.25
#: Trials without a new architecture after which the space counts as seen.
_PATIENCE = 200

search = no_search


def choose(work: Workspace, trials: Trials) -> Verdict:
    """Spend the allowance trial by trial, then take the best."""
    space, limit = work.space, work.free
    fidelity = min(shares(work), key=lambda share: abs(share - _FIDELITY))
    count = max(1, int(allowance(work) / (fidelity + trials.scoring) + 1e-9))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=derive(work.config.seed, "tpe") % 2**32)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    standings: dict[tuple[int, ...], Standing] = {}
    for _ in range(count + _PATIENCE):
        if len(standings) == count:
            break
        trial = study.ask()
        asked = [
            trial.suggest_categorical(f"gate {g}", range(len(gate.candidates)))
            for g, gate in enumerate(space.gates)
        ]
        found = repaired(space, asked, limit)
        if found not in standings:
            entry = contestant(work, f"tpe-{len(standings) + 1}", found)
            score = trials.score(entry, fidelity)
            standings[found] = Standing(entry, {fidelity: score})
        score = standings[found].score
        study.tell(trial, score, state=None if score is not None else TrialState.FAIL)
    return Verdict(sorted(standings.values(), key=_order))


def _order(standing: Standing) -> tuple[bool, float]:
    """Sort the best first, and what diverged last."""
    return standing.score is None, -(standing.score or 0.0)


def repaired(space: SearchSpace, candidates: Sequence[int], limit: int) -> tuple[int, ...]:
    """Return the assignment with its dearest choices taken out until it fits.

    Where more than parameters is limited, the choices stay that still fit beside cheaper ones.
    """
    kept = list(candidates)
    if space.limited and not fits(space, kept, limit):
        costs = [gate.candidates[i].num_params for gate, i in zip(space.gates, kept, strict=True)]
        return tuple(trimmed(space, kept, limit, sorted(range(len(costs)), key=costs.__getitem__)))
    while cost_of(space, kept) > limit:
        costs = [gate.candidates[i].num_params for gate, i in zip(space.gates, kept, strict=True)]
        kept[costs.index(max(costs))] = 0
    return tuple(kept)
