"""From values and costs to the best architecture within the budget, exactly.

A multiple-choice knapsack: one candidate per gate, costs within the limit, largest total
value. Solved to optimality by HiGHS. Further resources of the space are further rows; what several
layers share (a backward pass) is a variable that any of them switches on. Pure, torch-free,
deterministic.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, hstack

from peftsearch.errors import BudgetError, PeftSearchError
from peftsearch.resources import Layer, Resource, Shared, layer_of
from peftsearch.rows import rows
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
        limit: Largest total cost, kept exactly, as are the limits of the space's resources.
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
    further = _further(space)
    while True:
        chosen = _milp(worth, costs, least_cost, limit, constraints, further)
        if chosen is None:
            more = "".join(f", {r.option} {r.requested}" for r in space.resources if r.binding)
            message = f"No architecture of the space {space.name} fits {limit:,}{more}."
            raise BudgetError(message)
        picked = [int(chosen[a:b].argmax()) for a, b in itertools.pairwise(starts)]
        if fits(space, picked, limit):
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


def fits(space: SearchSpace, candidates: Sequence[int], limit: int) -> bool:
    """Whether an assignment keeps to the budget and to every resource, exactly."""
    return cost_of(space, candidates) <= limit and space.allows(candidates)


@dataclass(frozen=True)
class _Further:
    """What resources add to the problem.

    Attributes:
        worth: Of each variable behind those of the candidates, between 0 and 1.
        constraints: Over all variables.
    """

    worth: np.ndarray
    constraints: list[LinearConstraint]


def _further(space: SearchSpace) -> _Further:
    """Return the rows of the resources, and a variable for each thing that layers share.

    Behind the candidates stand variables that say whether a layer has anything, and behind those
    whether each shared thing is paid. Of what is only counted, the less is better among equals.
    """
    limited, layers = rows(space), list(dict.fromkeys(layer_of(gate.site) for gate in space.gates))
    groups = [(resource, one) for resource in space.resources for one in resource.unpaid]
    layers = layers if groups else []
    paid = space.num_candidates + len(layers)
    width = paid + len(groups)
    constraints = [_switches(space, layers, groups, width)] if groups else []
    for row in limited:
        line = np.zeros(width)
        line[: space.num_candidates] = row.costs
        line[paid:] = [one.amount if resource is row.resource else 0 for resource, one in groups]
        scale = row.limit if row.limit > 0 else 1.0  # the solver's tolerances are made for one
        constraints.append(LinearConstraint(line[None, :] / scale, -np.inf, row.limit / scale))
    worth = np.zeros(width - space.num_candidates)
    for j, (resource, one) in enumerate(groups, start=len(layers)):
        if not resource.binding:
            worth[j] = -_TIE * _SPREAD * one.amount / _most(space, resource)
    return _Further(worth, constraints)


def _switches(
    space: SearchSpace,
    layers: Sequence[Layer],
    groups: Sequence[tuple[Resource, Shared]],
    width: int,
) -> LinearConstraint:
    """Demand that a candidate switches its layer on, and a layer whatever it shares."""
    lines, place, paid = [], 0, space.num_candidates + len(layers)
    for gate in space.gates:
        line = np.zeros(width)
        for c in gate.candidates:
            line[place] = c.num_params > 0
            place += 1
        line[space.num_candidates + layers.index(layer_of(gate.site))] = -1
        lines.append(line)
    for j, (_, one) in enumerate(groups):
        for k, layer in enumerate(layers):
            if layer in one.layers:
                line = np.zeros(width)
                line[space.num_candidates + k], line[paid + j] = 1, -1
                lines.append(line)
    return LinearConstraint(csr_array(np.array(lines)), -np.inf, 0)


def _most(space: SearchSpace, resource: Resource) -> float:
    """Return what the dearest candidates of all gates and everything shared cost together."""
    place = space.resources.index(resource)
    own = sum(max(c.costs[place] for c in gate.candidates if c.costs) for gate in space.gates)
    return max(own + sum(one.amount for one in resource.shared), 1e-300)


def _wider(row: LinearConstraint, more: int) -> LinearConstraint:
    """Add variables that a constraint does not speak of."""
    if not more:
        return row
    zeros = csr_array((row.A.shape[0], more))
    return LinearConstraint(hstack([csr_array(row.A), zeros]), row.lb, row.ub)


def _milp(
    worth: np.ndarray,
    costs: np.ndarray,
    least: float,
    allowed: float,
    constraints: list[LinearConstraint],
    further: _Further,
) -> np.ndarray | None:
    scale = max(allowed, 1.0)
    knapsack = LinearConstraint(costs[None, :] / scale, least / scale, allowed / scale)
    own = [_wider(each, len(further.worth)) for each in (*constraints, knapsack)]
    result = milp(
        -np.concatenate([worth, further.worth]),
        constraints=[*own, *further.constraints],
        # What is shared is whole by itself where the candidates are.
        integrality=np.concatenate([np.ones(len(worth)), np.zeros(len(further.worth))]),
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
    """Return tiny amounts that prefer the cheaper of equals, then a fixed order of names.

    Cheaper is less of parameters, and of what is counted without a limit.
    """
    amounts = []
    most = max(space.max_cost, 1)
    counted = [(i, _most(space, r)) for i, r in enumerate(space.resources) if not r.binding]
    for gate in space.gates:
        for c in gate.candidates:
            text = f"{gate.site.id}/{c.label}"
            draw = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32
            more = sum(c.costs[i] / largest for i, largest in counted)
            amounts.append(-c.num_params / most - more - 1e-3 * draw)
    return _TIE * _SPREAD * np.array(amounts)
