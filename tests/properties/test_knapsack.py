"""The knapsack equals brute force, whatever the instance."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftsearch.discretise import cost_of, solve
from peftsearch.errors import BudgetError
from peftsearch.space import EMPTY, Candidate, Gate, SearchSpace
from tests.shapes import t5_sites

SITES = t5_sites()
Values = list[list[float]]


def instance(rng: np.random.Generator, *, ties: bool) -> tuple[SearchSpace, Values, int]:
    """Draw a space of at most 12 candidates beside ``none``, values and a limit."""
    gates, values = [], []
    left = 12
    for site in SITES[: rng.integers(1, 6)]:
        count = min(int(rng.integers(1, 5)), left)
        if count == 0:
            break
        left -= count
        costs = rng.choice(np.arange(1, 60), count, replace=False)
        candidates = (Candidate("lora", i + 1, ("q",), int(n)) for i, n in enumerate(costs))
        gates.append(Gate(site, (EMPTY, *candidates)))
        drawn = rng.integers(-2, 5, count) * 0.25 if ties else rng.normal(size=count)
        values.append([0.0, *map(float, drawn)])
    return SearchSpace("drawn", "", "one", tuple(gates)), values, int(rng.integers(0, 150))


def value_of(values: Values, chosen: Any) -> float:
    """Return the value of an assignment."""
    return sum(row[i] for row, i in zip(values, chosen, strict=True))


def all_within(space: SearchSpace, limit: int) -> list[tuple[int, ...]]:
    """Return every assignment within the limit."""
    costs = [[c.num_params for c in gate.candidates] for gate in space.gates]
    every = itertools.product(*map(range, map(len, costs)))
    totals = map(sum, itertools.product(*costs))
    return [chosen for chosen, total in zip(every, totals, strict=True) if total <= limit]


@pytest.mark.parametrize("ties", [True, False], ids=["ties", "no ties"])
@pytest.mark.parametrize("block", range(3))
def test_equals_brute_force(block: int, ties: bool) -> None:
    rng = np.random.default_rng([block, ties])
    for _ in range(50):
        space, values, limit = instance(rng, ties=ties)
        within = all_within(space, limit)
        best = max(value_of(values, chosen) for chosen in within)
        found = solve(space, values, limit)
        assert cost_of(space, found) <= limit
        assert value_of(values, found) == pytest.approx(best, abs=1e-6)
        if ties:  # the values are multiples of 0.25: nearly equal is equal
            equal = [chosen for chosen in within if value_of(values, chosen) == best]
            cheapest = min(cost_of(space, chosen) for chosen in equal)
            assert cost_of(space, found) == cheapest


@pytest.mark.parametrize("ties", [True, False], ids=["ties", "no ties"])
def test_order_of_the_candidates_and_of_the_gates_does_not_matter(ties: bool) -> None:
    rng = np.random.default_rng(11)
    for _ in range(60):
        space, values, limit = instance(rng, ties=ties)
        found = solve(space, values, limit)
        assert solve(space, values, limit) == found
        order = rng.permutation(len(space.gates))
        shuffled, moved = [], []
        for g in order:
            inner = rng.permutation(len(values[g]))
            candidates = tuple(space.gates[g].candidates[i] for i in inner)
            shuffled.append(Gate(space.gates[g].site, candidates))
            moved.append([values[g][i] for i in inner])
        other = SearchSpace("drawn", "", "one", tuple(shuffled))
        again = solve(other, moved, limit)
        assert {
            (gate.site, gate.candidates[i]) for gate, i in zip(space.gates, found, strict=True)
        } == {(gate.site, gate.candidates[i]) for gate, i in zip(shuffled, again, strict=True)}


def test_exclusions_equal_brute_force() -> None:
    rng = np.random.default_rng(5)
    for _ in range(30):
        space, values, limit = instance(rng, ties=False)
        least = int(rng.integers(1, len(space.gates) + 1))
        first = solve(space, values, limit)
        allowed = [
            chosen
            for chosen in all_within(space, limit)
            if sum(a != b for a, b in zip(chosen, first, strict=True)) >= least
        ]
        if not allowed:
            with pytest.raises(BudgetError):
                solve(space, values, limit, [first], least)
            continue
        second = solve(space, values, limit, [first], least)
        best = max(value_of(values, chosen) for chosen in allowed)
        assert value_of(values, second) == pytest.approx(best, abs=1e-6)


@given(
    st.lists(st.integers(1, 10**9), min_size=1, max_size=6),
    st.integers(0, 3 * 10**9),
    st.integers(0, 2**32),
)
def test_never_over_budget(costs: list[int], limit: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    gates = [
        Gate(site, (EMPTY, Candidate("lora", 1, ("q",), n)))
        for site, n in zip(SITES, costs, strict=False)
    ]
    space = SearchSpace("drawn", "", "one", tuple(gates))
    found = solve(space, [[0.0, float(rng.uniform(0.1, 1))] for _ in gates], limit)
    assert cost_of(space, found) <= limit
    if sum(costs) <= limit:
        assert found == [1] * len(gates)
