"""From values and costs to the best architecture within the budget, exactly.

A multiple-choice knapsack: one candidate per gate, costs within the limit, largest total
value. Solved to optimality by HiGHS. Pure, torch-free, deterministic.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from peftsearch.errors import BudgetError, PeftSearchError
from peftsearch.space import SearchSpace

#: The spread that values are scaled to, well above the solver's tolerance of 1e-6.
_SPREAD = 1e4
#: Ties are broken by amounts this small relative to the spread.
_TIE = 1e-6


def solve(
    space: SearchSpace,
    values: Sequence[Sequence[float]],
    limit: int,
    exclude: Sequence[Sequence[int]] = (),
    least_difference: int = 1,
    least_cost: int = 0,
) -> list[int]:
    """Choose one candidate per gate.

    Args:
        space: Gates and costs.
        values: For each gate the finite value of each candidate.
        limit: Largest total cost, kept exactly.
        exclude: Solutions to stay away from.
        least_difference: In how many gates at least to differ from each excluded one.
        least_cost: Smallest total cost.

    Returns:
        The index of the chosen candidate of each gate. Equal inputs give equal outputs, and
        the order of the candidates does not matter.

    Raises:
        BudgetError: Nothing fits, or nothing is left beside the excluded solutions.
    """
    gates = [g for g, gate in enumerate(space.gates) for _ in gate.candidates]
    costs = np.array([c.num_params for gate in space.gates for c in gate.candidates], dtype=float)
    worth = np.array([v for row in values for v in row], dtype=float)
    if len(worth) != len(costs) or not np.isfinite(worth).all():
        raise ValueError("values must be finite, one for each candidate of each gate")
    starts = np.concatenate([[0], np.cumsum([len(gate.candidates) for gate in space.gates])])
    constraints = [_one_per_gate(gates, len(space.gates))]
    constraints += [_apart_from(solution, starts, least_difference) for solution in exclude]
    worth = _in_units(worth) + _ties(space)
    while True:
        chosen = _milp(worth, costs, least_cost, limit, constraints)
        if chosen is None:
            raise BudgetError(f"No architecture of the space {space.name} fits {limit:,}.")
        picked = [int(chosen[a:b].argmax()) for a, b in itertools.pairwise(starts)]
        if cost_of(space, picked) <= limit:
            return picked
        # The solver's tolerance let it over, by a hair: ask again without this solution.
        constraints.append(_apart_from(picked, starts, 1))


def _apart_from(solution: Sequence[int], starts: np.ndarray, gates: int) -> LinearConstraint:
    """Demand that at least so many gates choose otherwise."""
    row = np.zeros(starts[-1])
    row[starts[:-1] + np.array(solution)] = 1
    return LinearConstraint(row[None, :], -np.inf, len(solution) - gates)


def _in_units(worth: np.ndarray) -> np.ndarray:
    """Scale values to a spread the solver's absolute tolerances are small against."""
    spread = float(np.ptp(worth))
    return (worth - worth.min()) / spread * _SPREAD if spread > 0 else np.zeros_like(worth)


def cost_of(space: SearchSpace, candidates: Sequence[int]) -> int:
    """Return the parameters of an assignment, exactly."""
    return sum(
        gate.candidates[index].num_params
        for gate, index in zip(space.gates, candidates, strict=True)
    )


def _milp(
    worth: np.ndarray,
    costs: np.ndarray,
    least: float,
    allowed: float,
    constraints: list[LinearConstraint],
) -> np.ndarray | None:
    scale = max(allowed, 1.0)
    knapsack = LinearConstraint(costs[None, :] / scale, least / scale, allowed / scale)
    result = milp(
        -worth,
        constraints=[*constraints, knapsack],
        integrality=np.ones(len(worth)),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0.0},
    )
    if result.status == 2:
        return None
    if not result.success:
        raise PeftSearchError(f"The knapsack solver failed: {result.message}")
    return np.asarray(result.x)


def _one_per_gate(gates: Sequence[int], count: int) -> LinearConstraint:
    matrix = csr_array(
        (np.ones(len(gates)), (np.array(gates), np.arange(len(gates)))), shape=(count, len(gates))
    )
    return LinearConstraint(matrix, 1, 1)


def _ties(space: SearchSpace) -> np.ndarray:
    """Return tiny amounts that prefer the cheaper of equals, then a fixed order of names."""
    amounts = []
    most = max(space.max_cost, 1)
    for gate in space.gates:
        for c in gate.candidates:
            text = f"{gate.site.id}/{c.label}"
            draw = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32
            amounts.append(-c.num_params / most - 1e-3 * draw)
    return _TIE * _SPREAD * np.array(amounts)
