"""What the watch of a search sees."""

from __future__ import annotations

import math

import pytest
import torch

from peftsearch.search.watch import Watch, cheap_mass
from peftsearch.site import Site
from peftsearch.space import EMPTY, Candidate, Gate, SearchSpace

SIZES = (1, 10, 100)


def space() -> SearchSpace:
    candidates = tuple(Candidate("lora", size, ("q",), size) for size in SIZES)
    sites = [Site("encoder", layer, "attention", ("q",)) for layer in range(4)]
    return SearchSpace("s", "", "one", tuple(Gate(site, (EMPTY, *candidates)) for site in sites))


def gates(*favourites: int) -> torch.Tensor:
    """Log-probabilities with nine tenths on one candidate of each gate."""
    rows = [[0.9 if i == best else 0.1 / 3 for i in range(4)] for best in favourites]
    return torch.tensor(rows, dtype=torch.float64).log()


def test_cheap_is_what_costs_a_twentieth_of_the_largest() -> None:
    shares = [[0.1, 0.2, 0.3, 0.4]] * 4
    assert cheap_mass(space(), shares) == pytest.approx(0.3)  # none and size 1 of 100


def test_steady_counts_unchanged_solutions() -> None:
    watch = Watch(space(), 400)
    seen = []
    for favourites in [(3, 3, 2, 2), (3, 3, 2, 2), (3, 3, 2, 2), (3, 3, 2, 1), (3, 3, 2, 1)]:
        watch.check(gates(*favourites))
        seen.append((watch.steady, watch.latest["overlap"]))
    assert seen == [(0, 0.0), (1, 1.0), (2, 1.0), (0, pytest.approx(3 / 5)), (1, 1.0)]
    assert watch.solution == [3, 3, 2, 1]


def test_the_solution_keeps_the_budget() -> None:
    watch = Watch(space(), 111)
    watch.check(gates(3, 3, 3, 3))
    assert sum((0, *SIZES)[i] for i in watch.solution) <= 111


def test_impossible_candidates_do_not_break_it() -> None:
    watch = Watch(space(), 400)
    watch.check(torch.tensor([[0.0, -math.inf, -math.inf, -math.inf]] * 4, dtype=torch.float64))
    assert watch.solution == [0, 0, 0, 0]
    assert watch.latest["cheap_mass"] == 1.0


def test_the_state_goes_through_a_checkpoint() -> None:
    watch, other = Watch(space(), 400), Watch(space(), 400)
    for _ in range(2):
        watch.check(gates(3, 3, 2, 2))
    other.restore(watch.state())
    for each in (watch, other):
        each.check(gates(3, 3, 2, 2))
    assert other.state() == watch.state()
    assert other.steady == 2
