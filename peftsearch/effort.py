"""What search and race cost, in single trainings: the currency every strategy pays in. Torch-free.

One single training is ``retrain.steps`` steps of ``retrain.batch_size`` rows. Counted in passes
over rows, not in seconds, so that a plan, a run and its resumption agree; the measured seconds
stand beside it in ``summary.json``.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import replace

from peftsearch.config import RunConfig

#: A step of the supernet's weights and one of its gates, in steps of a single training: rounded
#: up from what ``benchmarks/step_cost.py`` measures on MiniLM's shape.
WEIGHT_STEP, GATE_STEP = 1.4, 1.8
#: A forward alone, in steps: the backbone is frozen, so a backward is about one more forward.
FORWARD = 1 / 2
#: Batches over which first-order importance is averaged, and their share of a training at most.
_IMPORTANCE, _IMPORTANCE_SHARE = 16, 0.1
#: Gate passes of a step by ``search.bilevel``.
_GATE_PASSES = {"first": 1, "single": 1, "second": 4}


def rungs(first: float, last: float) -> tuple[float, ...]:
    """Return the shares of a training at which a race scores: doubling from first to last.

    Args:
        first: Share of the first rung, in (0, last].
        last: Share of the last rung, in (0, 1].
    """
    count = math.floor(math.log2(last / first) + 1e-9)
    return tuple(last / 2**i for i in range(count, -1, -1))


def halving_trainings(contestants: int, shares: Sequence[float], scoring: float) -> float:
    """Return the cost of successive halving, in which the better half trains on at each rung.

    The last one left has won and need not train on.

    Args:
        contestants: How many begin.
        shares: The rungs.
        scoring: Cost of scoring one of them once, in single trainings.
    """
    total, before = 0.0, 0.0
    for share in shares:
        total += contestants * (share - before + scoring)
        contestants, before = math.ceil(contestants / 2), share
        if contestants == 1:
            break
    return total


def affordable(allowance: float, shares: Sequence[float], scoring: float) -> int:
    """Return the most contestants whose race costs at most ``allowance``; 0 if not even one."""
    count = 0
    while halving_trainings(count + 1, shares, scoring) <= allowance + 1e-9:
        count += 1
    return count


def field(
    allowance: float, shares: Sequence[float], scoring: float
) -> tuple[int, tuple[float, ...]]:
    """Return the most contestants, and the rungs of their race.

    A rung decides only where at least two come to it. Where so few can begin that one is left
    before, the last rungs go, and what they would have cost lets more begin.

    Args:
        allowance: What the race may cost, in single trainings.
        shares: The rungs.
        scoring: Cost of scoring one contestant once.
    """
    for last in range(len(shares), 1, -1):
        count = affordable(allowance, shares[:last], scoring)
        if count > 2 ** (last - 1):
            return count, tuple(shares[:last])
    return affordable(allowance, shares[:1], scoring), tuple(shares[:1])


def search_trainings(config: RunConfig, *, gates: bool = True) -> float:
    """Return the cost of training the supernet.

    Args:
        config: The configuration.
        gates: Whether the gates are trained too.
    """
    settings = config.search
    warm = round(settings.steps * settings.warmup_fraction)
    passes = settings.steps * WEIGHT_STEP
    if gates:
        steps = sum(step % settings.gate_every == 0 for step in range(warm, settings.steps))
        passes += steps * GATE_STEP * _GATE_PASSES[settings.bilevel]
    return passes * settings.batch_size / _rows(config)


def search_steps(config: RunConfig, allowed: float, *, gates: bool = True) -> int:
    """Return the most steps of the supernet that cost at most ``allowed``, at least one."""

    def cost(steps: int) -> float:
        settings = replace(config.search, steps=steps)
        return search_trainings(replace(config, search=settings), gates=gates)

    enough = 1
    while cost(enough) <= allowed:
        enough *= 2
    return max(1, bisect.bisect_right(range(enough), allowed, key=cost) - 1)


def measure_trainings(config: RunConfig, count: int, rows: int) -> float:
    """Return the cost of scoring ``count`` architectures on ``rows`` rows with shared weights."""
    return count * rows * FORWARD / _rows(config)


def supernet_trainings(config: RunConfig, rows: int) -> float:
    """Return the cost of all searches of ``priced``: training, importance and measurement.

    Args:
        config: The configuration.
        rows: Rows of search-valid on which architectures are measured.
    """
    one = search_trainings(config) + gate_trainings(config, importance_batches(config))
    measured = measure_trainings(config, config.search.measured, rows)
    return config.search.seeds * (one + measured)


def importance_batches(config: RunConfig) -> int:
    """Return over how many batches first-order importance is averaged."""
    return max(1, min(_IMPORTANCE, round(_IMPORTANCE_SHARE * config.retrain.steps)))


def gate_trainings(config: RunConfig, count: int) -> float:
    """Return the cost of ``count`` gradients with respect to gates or masks."""
    return count * GATE_STEP * config.search.batch_size / _rows(config)


def _rows(config: RunConfig) -> int:
    return config.retrain.steps * config.retrain.batch_size
