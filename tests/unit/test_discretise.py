"""The knapsack: limits, exclusions and refusals. Its optimality is in ``tests/properties``."""

from __future__ import annotations

import itertools
import math

import pytest

from peftsearch.discretise import cost_of, solve
from peftsearch.errors import BudgetError
from peftsearch.space import EMPTY, Candidate, Gate, SearchSpace
from tests.shapes import t5_sites

SITES = t5_sites()


def space_of(*costs: tuple[int, ...]) -> SearchSpace:
    """Return a space with one gate for each tuple of costs, ``none`` added."""
    gates = []
    for site, row in zip(SITES, costs, strict=False):
        candidates = (Candidate("lora", i + 1, ("q",), n) for i, n in enumerate(row))
        gates.append(Gate(site, (EMPTY, *candidates)))
    return SearchSpace("s", "", "one", tuple(gates))


SPACE = space_of((10, 20), (10, 20), (10, 20))
VALUES = [[0.0, 1.0, 1.5], [0.0, 2.0, 3.5], [0.0, 0.5, 0.6]]


@pytest.mark.parametrize(
    ("limit", "wanted"),
    [
        (0, [0, 0, 0]),
        (9, [0, 0, 0]),
        (10, [0, 1, 0]),
        (19, [0, 1, 0]),
        (20, [0, 2, 0]),
        (29, [0, 2, 0]),
        (30, [1, 2, 0]),
        (40, [2, 2, 0]),
        (60, [2, 2, 2]),
        (10**9, [2, 2, 2]),
    ],
)
def test_known_answers(limit: int, wanted: list[int]) -> None:
    found = solve(SPACE, VALUES, limit)
    if limit == 40:  # 2 + 2 + 0 and 1 + 2 + 1 have the same value and the same cost
        assert cost_of(SPACE, found) == 40
        assert sum(row[i] for row, i in zip(VALUES, found, strict=True)) == 5.0
    else:
        assert found == wanted


def test_what_harms_is_left_out_though_it_fits() -> None:
    assert solve(SPACE, [[0.0, -1.0, -2.0]] * 3, 10**6) == [0, 0, 0]


def test_values_of_none_count() -> None:
    assert solve(SPACE, [[3.0, 1.0, 2.0]] * 3, 10**6) == [0, 0, 0]


@pytest.mark.parametrize("limit", [10**7 - 1, 10**7, 10**7 + 1])
def test_never_over_by_one_parameter(limit: int) -> None:
    """One part in ten million is below the solver's tolerance."""
    half = 5 * 10**6
    space = space_of((half,), (half,), (1,))
    found = solve(space, [[0.0, 5.0], [0.0, 5.0], [0.0, 1.0]], limit)
    assert cost_of(space, found) <= limit
    wanted = {-1: (1, 1), 0: (2, 0), 1: (2, 1)}[limit - 10**7]
    assert (sum(found[:2]), found[2]) == wanted


def test_ties_prefer_the_cheaper() -> None:
    assert solve(SPACE, [[0.0, 1.0, 1.0]] * 3, 60) == [1, 1, 1]
    assert solve(SPACE, [[0.0, 0.0, 0.0]] * 3, 60) == [0, 0, 0]


@pytest.mark.parametrize("scale", [1e-8, 1e-5, 1.0, 1e5])
def test_the_unit_of_the_values_does_not_matter(scale: float) -> None:
    for limit in (10, 20, 30, 50):
        scaled = [[v * scale for v in row] for row in VALUES]
        assert solve(SPACE, scaled, limit) == solve(SPACE, VALUES, limit)


def test_excluded_solutions_are_avoided_in_order_of_value() -> None:
    everything = list(itertools.product(range(3), repeat=3))
    found: list[list[int]] = []
    for _ in everything:
        found.append(solve(SPACE, VALUES, 60, exclude=found))
    assert sorted(map(tuple, found)) == sorted(everything)
    totals = [sum(row[i] for row, i in zip(VALUES, one, strict=True)) for one in found]
    assert all(a >= b - 1e-6 for a, b in itertools.pairwise(totals))
    with pytest.raises(BudgetError, match=r"^No architecture of the space s fits 60\.$"):
        solve(SPACE, VALUES, 60, exclude=found)


@pytest.mark.parametrize("least", [1, 2, 3])
def test_least_difference(least: int) -> None:
    first = solve(SPACE, VALUES, 60)
    second = solve(SPACE, VALUES, 60, exclude=[first], least_difference=least)
    assert sum(a != b for a, b in zip(first, second, strict=True)) == least


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_must_be_finite(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        solve(SPACE, [[0.0, bad, 0.0], *VALUES[1:]], 60)


def test_there_must_be_as_many_values_as_candidates() -> None:
    with pytest.raises(ValueError, match="one for each candidate"):
        solve(SPACE, VALUES[:2], 60)
