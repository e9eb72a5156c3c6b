"""Rates of errors against jiwer."""

from __future__ import annotations

import random

import pytest

from peftsearch.tasks.answers import Texts
from peftsearch.tasks.metrics import FITTING, LOWER_IS_BETTER, METRICS, score
from peftsearch.tasks.speech_metrics import cer, wer

NAMES = FITTING["speech-recognition"]


def pairs(seed: int) -> tuple[list[str], list[str]]:
    """Return right texts and texts with words lost, added and changed."""
    rng = random.Random(seed)
    right, said = [], []
    for _ in range(20):
        text = [
            rng.choice(["the", "a", "cat", "catch", "saw", "Dog."])
            for _ in range(rng.randint(1, 8))
        ]
        other = [w for w in text if rng.random() > 0.2]
        other = [w if rng.random() > 0.2 else w[::-1] for w in other]
        right.append(" ".join(text))
        said.append(" ".join([*other, *(["more"] * rng.randint(0, 2))]))
    return right, said


@pytest.mark.parametrize("seed", range(4))
def test_rates_are_those_of_jiwer(seed: int) -> None:
    jiwer = pytest.importorskip("jiwer")
    right, said = pairs(seed)
    found = score(("one_minus_wer", "wer", "cer", "one_minus_cer"), right, said)
    assert found["wer"] == pytest.approx(jiwer.wer(right, said))
    assert found["cer"] == pytest.approx(jiwer.cer(right, said))
    assert found["one_minus_wer"] == pytest.approx(1 - found["wer"])
    assert found["one_minus_cer"] == pytest.approx(1 - found["cer"])


def test_rates_by_hand() -> None:
    assert wer([Texts(("a b c",))], ["a x"]) == pytest.approx(2 / 3)
    assert wer([Texts(("a",)), Texts(("b c",))], ["a b c", ""]) == pytest.approx(4 / 3)
    assert cer([Texts(("a b",))], ["ab"]) == pytest.approx(1 / 3)
    assert wer([Texts(("a",))], ["  a "]) == 0


def test_of_several_right_texts_the_nearest_counts() -> None:
    rows = [Texts(("a b", "a b c d")), Texts(("x",))]
    assert wer(rows, ["a b c", "y"]) == pytest.approx((1 + 1) / (4 + 1))


def test_what_is_better_lower_has_something_that_decides() -> None:
    for name, instead in LOWER_IS_BETTER.items():
        assert name in METRICS
        assert instead in METRICS
    assert {"wer", "cer", "one_minus_wer"} <= set(NAMES)
