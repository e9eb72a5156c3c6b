"""What a search that knows nothing would find, in the same space and within the same budget.

Place in the flow: candidates, limit -> **chance** -> patterns. Two ways of knowing nothing, since
they spend a budget differently: filling it at random, and the best architecture under random
values. A pattern must stand out from both. Torch-free.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

#: How each way of knowing nothing is named in a sentence.
WAYS = {
    "random fill": "architectures that fill the budget at random",
    "random values": "the best architectures under random values",
}
_BISECTIONS = 50


def draws(candidates: pd.DataFrame, limit: int, count: int, seed: int = 0) -> dict[str, Places]:
    """Return architectures of every way of knowing nothing.

    Args:
        candidates: One row per candidate of each gate, with the columns gate and num_params; the
            rows of a gate stand together.
        limit: Largest number of parameters.
        count: How many of each way.
        seed: Seed of the draws.

    Returns:
        For each of :data:`WAYS` the row number of the candidate taken by each gate,
        (count, gates).
    """
    rng = np.random.default_rng(seed)
    costs = _by_gate(candidates, candidates["num_params"].to_numpy(dtype=float), np.inf)
    starts = _starts(candidates)
    return {
        "random fill": starts + _random_fill(costs, limit, count, rng),
        "random values": starts + _best_of_random(costs, limit, count, rng),
    }


def _starts(candidates: pd.DataFrame) -> Places:
    sizes = candidates.groupby("gate", sort=False).size().to_numpy()
    return np.concatenate([[0], np.cumsum(sizes)])[:-1].astype(np.int64)


def _by_gate(candidates: pd.DataFrame, flat: Array, rest: float) -> Array:
    """Return numbers by gate (gates, candidates of the largest), the rest filled up."""
    sizes = candidates.groupby("gate", sort=False).size().to_numpy()
    table = np.full((len(sizes), int(sizes.max())), rest)
    for row, part in zip(table, np.split(flat, np.cumsum(sizes)[:-1]), strict=True):
        row[: len(part)] = part
    return table


def _random_fill(costs: Array, limit: int, count: int, rng: np.random.Generator) -> Places:
    """Gates in random order, each a random candidate that still fits, as the baselines do."""
    gates = len(costs)
    order = rng.permuted(np.tile(np.arange(gates), (count, 1)), axis=1)
    chosen = np.zeros((count, gates), dtype=np.int64)
    left = np.full(count, float(limit))
    every = np.arange(count)
    for turn in range(gates):
        own = costs[order[:, turn]]
        fits = (own > 0) & (own <= left[:, None])
        pick = np.where(fits, rng.random(own.shape), -1.0).argmax(axis=1)
        pick = np.where(fits.any(axis=1), pick, 0)
        chosen[every, order[:, turn]] = pick
        left -= own[every, pick]
    return chosen


def _best_of_random(costs: Array, limit: int, count: int, rng: np.random.Generator) -> Places:
    """Standard normal values, and the best choice under the least price that keeps the budget.

    The knapsack's Lagrangian relaxation: at most one gate away from the exact solution.
    """
    values = rng.standard_normal((count, *costs.shape))
    values[:, ~np.isfinite(costs)] = -np.inf
    values[:, costs == 0] = 0.0
    finite = np.where(np.isfinite(costs), costs, 0.0)
    low, high = np.zeros(count), np.full(count, 10.0 / max(1.0, finite[finite > 0].min()))
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        taken = (values - middle[:, None, None] * finite).argmax(axis=2)
        over = np.take_along_axis(finite[None], taken[..., None], axis=2).sum(axis=(1, 2)) > limit
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    best: Places = (values - high[:, None, None] * finite).argmax(axis=2)
    return best
