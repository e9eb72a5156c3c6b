"""Successive halving on trials that are made up."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from peftsearch.architecture import Architecture, Choice
from peftsearch.race import Contestant, halving

SHARES = (0.25, 0.5, 1.0)


def contestant(name: str, num_params: int = 100) -> Contestant:
    choice = Choice("encoder.00.attention", "lora", 1, ("q",), num_params)
    return Contestant(name, name.split("-")[0], Architecture("m", "t", 1000, "1%", 500, (choice,)))


@dataclass
class Made:
    """Trials whose scores are written down, by name and rung."""

    scores: dict[str, tuple[float | None, ...]]
    error: float = 0.0
    spent: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)
    asked: list[tuple[str, float]] = field(default_factory=list)

    @property
    def scoring(self) -> float:
        return 0.0

    def score(self, entry: Contestant, share: float) -> float | None:
        self.asked.append((entry.name, share))
        return self.scores[entry.name][SHARES.index(share)]

    def knows(self, architecture: Architecture) -> bool:
        return True

    def loss(self, entry: Contestant, share: float) -> float:
        return self.losses.get(entry.name, 0.0)

    def noise(self, one: Contestant, other: Contestant) -> float:
        return self.error


def test_the_better_half_goes_on() -> None:
    trials = Made(
        {
            "a": (0.1, 0.9, 0.9),  # would have won, but begins slowly
            "b": (0.4, 0.4, 0.4),
            "c": (0.3, 0.5, 0.5),
            "d": (0.2, 0.2, 0.2),
            "e": (0.25, 0.1, 0.1),
        }
    )
    found = halving(trials, [contestant(n) for n in "abcde"], SHARES)
    assert [(s.contestant.name, s.share, s.score) for s in found] == [
        ("c", 1.0, 0.5),
        ("b", 1.0, 0.4),
        ("e", 0.5, 0.1),
        ("d", 0.25, 0.2),
        ("a", 0.25, 0.1),
    ]
    assert [share for _, share in trials.asked] == [0.25] * 5 + [0.5] * 3 + [1.0] * 2


def test_one_that_diverges_is_last_whenever_it_does() -> None:
    trials = Made(
        {"a": (0.9, None, 0.0), "b": (0.5, 0.5, 0.5), "c": (None, 0.0, 0.0), "d": (0.1, 0.1, 0.1)}
    )
    found = halving(trials, [contestant(n) for n in "abcd"], SHARES)
    assert [s.contestant.name for s in found][:2] == ["b", "d"]
    assert {s.contestant.name for s in found if s.score is None} == {"a", "c"}


def test_all_diverged() -> None:
    found = halving(Made({"a": (None,) * 3, "b": (None,) * 3}), [contestant("a")] * 1, SHARES)
    assert found[0].score is None


def test_ties_go_to_the_cheaper_then_to_the_first() -> None:
    same = dict.fromkeys(("a", "b", "c"), (0.5, 0.5, 0.5))
    entries = [contestant("a", 100), contestant("b", 90), contestant("c", 90)]
    assert [s.contestant.name for s in halving(Made(same), entries, (0.25,))] == ["b", "c", "a"]


def test_of_constant_answers_the_lower_loss_goes_on_and_who_tells_rows_apart_before() -> None:
    same = dict.fromkeys(("a", "b", "c", "d"), (0.5, 0.5, 0.5))
    trials = Made(same, losses={"a": 0.7, "b": 0.6, "c": 0.65})
    entries = [contestant("a", 1), contestant("b", 3), contestant("c", 2), contestant("d", 4)]
    found = halving(trials, entries, SHARES)
    assert [s.contestant.name for s in found] == ["d", "b", "c", "a"]
    assert found[0].share == found[1].share == 0.5 > found[2].share


@pytest.mark.parametrize(("error", "winner"), [(0.01, "gates-1"), (0.03, "uniform-lora")])
def test_within_one_standard_error_the_simpler_wins(error: float, winner: str) -> None:
    scores: dict[str, tuple[float | None, ...]] = {
        "gates-1": (0.5, 0.5, 0.52),
        "random-1": (0.49, 0.4, 0.0),
        "random-2": (0.49, 0.4, 0.0),
        "gates-2": (0.49, 0.4, 0.0),
        "uniform-lora": (0.5, 0.5, 0.50),
    }
    found = halving(Made(scores, error), [contestant(n) for n in scores], SHARES)
    assert found[0].contestant.name == winner
    assert {s.contestant.name for s in found} == set(scores)


def test_a_uniform_one_that_fell_behind_is_not_taken() -> None:
    scores: dict[str, tuple[float | None, ...]] = {
        "gates-1": (0.50, 0.52, 0.52),
        "gates-2": (0.50, 0.51, 0.51),
        "gates-3": (0.40, 0.0, 0.0),
        "gates-4": (0.40, 0.0, 0.0),
        "uniform-lora": (0.50, 0.50, 0.0),
    }
    entries = [contestant(n, 100 + i) for i, n in enumerate(scores)]
    found = halving(Made(scores, error=0.5), entries, SHARES)
    assert found[0].contestant.name == "gates-1"
