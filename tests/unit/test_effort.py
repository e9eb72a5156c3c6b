"""What search and race cost, against counting by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from peftsearch import effort
from peftsearch.config import RunConfig
from peftsearch.config.schema import SearchConfig


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [(0.125, 1.0, (0.125, 0.25, 0.5, 1.0)), (0.3, 1.0, (0.5, 1.0)), (0.5, 0.5, (0.5,))],
)
def test_rungs_double_up_to_the_last(first: float, last: float, expected: tuple[float]) -> None:
    assert effort.rungs(first, last) == expected


def by_hand(contestants: int, shares: tuple[float, ...], scoring: float) -> float:
    """Follow every contestant: it pays for its last rung and for each scoring on the way."""
    alive, reached = list(range(contestants)), dict.fromkeys(range(contestants), (0.0, 0))
    for share in shares:
        for each in alive:
            reached[each] = (share, reached[each][1] + 1)
        alive = alive[: math.ceil(len(alive) / 2)]
        if len(alive) == 1:
            break
    return sum(share + scoring * times for share, times in reached.values())


@pytest.mark.parametrize("contestants", [1, 2, 3, 7, 16])
@pytest.mark.parametrize("shares", [(1.0,), (0.25, 0.5), (0.125, 0.25, 0.5, 1.0)])
def test_halving_is_counted(contestants: int, shares: tuple[float, ...]) -> None:
    found = effort.halving_trainings(contestants, shares, 0.03)
    assert found == pytest.approx(by_hand(contestants, shares, 0.03))


@pytest.mark.parametrize("allowance", [0.01, 0.3, 1.0, 4.0, 11.3])
def test_affordable_is_the_most_that_fits(allowance: float) -> None:
    shares = (0.125, 0.25, 0.5)
    count = effort.affordable(allowance, shares, 0.02)
    assert effort.halving_trainings(count + 1, shares, 0.02) > allowance
    assert count == 0 or effort.halving_trainings(count, shares, 0.02) <= allowance


@pytest.mark.parametrize("shares", [(0.5, 1.0), (0.125, 0.25, 0.5)])
@pytest.mark.parametrize("scoring", [0.02, 0.35])
@pytest.mark.parametrize("allowance", [0.9, 1.3, 2.0, 4.0, 11.3])
def test_no_race_decided_at_the_same_rung_has_more_contestants(
    allowance: float, scoring: float, shares: tuple[float, ...]
) -> None:
    count, rungs = effort.field(allowance, shares, scoring)
    assert rungs == shares[: len(rungs)]
    assert effort.halving_trainings(count, rungs, scoring) <= allowance
    assert effort.halving_trainings(count + 1, rungs, scoring) > allowance
    left = count
    for _ in rungs[:-1]:
        left = math.ceil(left / 2)
    assert left >= 2 or len(rungs) == 1
    if len(rungs) < len(shares):  # with one rung more, one alone would come to it
        more = shares[: len(rungs) + 1]
        assert effort.affordable(allowance, more, scoring) <= 2 ** len(rungs)


@pytest.mark.parametrize("gates", [True, False])
@pytest.mark.parametrize("allowed", [0.001, 0.05, 0.37, 2.0])
def test_the_most_steps_of_a_search_that_are_afforded(allowed: float, gates: bool) -> None:
    config = RunConfig(search=SearchConfig(gate_every=5))

    def cost(steps: int) -> float:
        settings = replace(config.search, steps=steps)
        return effort.search_trainings(replace(config, search=settings), gates=gates)

    found = effort.search_steps(config, allowed, gates=gates)
    assert found == 1 or cost(found) <= allowed
    assert cost(found + 1) > allowed


def test_the_search_is_counted_in_passes() -> None:
    """Ten steps, three of them without gates: 10 weight passes, 7 of the gates, 28 in 2nd order."""
    settings = SearchConfig(steps=10, warmup_fraction=0.3, batch_size=32, gate_every=1)
    config = RunConfig(search=settings)
    single = config.retrain.steps  # of 32 rows as well
    first = (10 * effort.WEIGHT_STEP + 7 * effort.GATE_STEP) / single
    assert effort.search_trainings(config) == pytest.approx(first)
    assert effort.search_trainings(config, gates=False) == pytest.approx(
        10 * effort.WEIGHT_STEP / single
    )
    second = replace(config, search=replace(config.search, bilevel="second"))
    extra = 21 * effort.GATE_STEP / single
    assert effort.search_trainings(second) == pytest.approx(first + extra)
    seldom = replace(config, search=replace(config.search, gate_every=4))  # steps 4 and 8
    less = 5 * effort.GATE_STEP / single
    assert effort.search_trainings(seldom) == pytest.approx(first - less)
