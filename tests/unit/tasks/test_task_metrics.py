"""Metrics against values worked out by hand, and their corner cases."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftsearch.errors import ConfigError, DivergedError
from peftsearch.tasks import METRICS, score
from peftsearch.tasks.answers import Grouped, Pair
from peftsearch.tasks.metrics import (
    ANSWER_METRICS,
    GROUP_METRICS,
    LIKELIHOOD_METRICS,
    LOWER_IS_BETTER,
    RETRIEVAL_METRICS,
    TAG_METRICS,
    TEXT_METRICS,
)

REFERENCES = [1.0, 1.0, 0.0, 0.0, 1.0]
PREDICTIONS = [1.0, 0.0, 0.0, 1.0, 1.0]
TEXTS = ["all dogs run", "no"]
LONG = ["all dogs run very fast", "no cat does so"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accuracy", 3 / 5),
        ("f1", 2 / 3),  # 2 true positives, 1 false positive, 1 false negative
        ("macro_f1", (2 / 3 + 1 / 2) / 2),
        ("matthews", (2 * 1 - 1 * 1) / math.sqrt(3 * 3 * 2 * 2)),
        ("pearson", 1 / 6),
        ("spearman", 1 / 6),
    ],
)
def test_by_hand(name: str, value: float) -> None:
    assert METRICS[name](REFERENCES, PREDICTIONS) == pytest.approx(value)


@pytest.mark.parametrize("name", ["f1", "matthews", "pearson", "spearman"])
@pytest.mark.parametrize("constant", [0.0, 1.0])
def test_a_constant_prediction_scores_without_a_warning(name: str, constant: float) -> None:
    value = METRICS[name]([0.0, 1.0, 0.0], [constant] * 3)
    assert value == (pytest.approx(0.5) if name == "f1" and constant else 0.0)


@pytest.mark.parametrize("name", [name for name in METRICS if name not in LIKELIHOOD_METRICS])
def test_a_perfect_prediction_scores_one(name: str) -> None:
    right: list[Any] = LONG if name in {**TEXT_METRICS, **ANSWER_METRICS} else REFERENCES
    said = right
    if name in TAG_METRICS:
        said = right = [("B-X", "I-X", "O"), ("O",)]
    if name in RETRIEVAL_METRICS:
        right, said = [Pair("a", "b")] * 3, [(1, 1)] * 3
    if name in GROUP_METRICS:
        right = [Grouped(value, ("a",)) for value in said]
    best = 0.0 if name in LOWER_IS_BETTER else 1.0
    assert score((name,), right, said) == {name: pytest.approx(best)}


@pytest.mark.parametrize(
    ("said", "exact", "words", "characters"),
    [
        ("all dogs run", 1, 1, 1),
        ("  all dogs run\n", 1, 1, 1),
        ("all  dogs run", 0, 1, 12 / 13),  # one blank too many
        ("all dog run", 0, 2 / 3, 11 / 12),
        ("dogs all run", 0, 1 / 3, 4 / 12),
        ("no cats ever swim", 0, 0, None),
        ("all dogs run today", 0, 3 / 4, 12 / 18),
        ("", 0, 0, 0),
    ],
)
def test_texts_by_hand(said: str, exact: float, words: float, characters: float | None) -> None:
    names = ("exact_match", "edit_similarity", "character_similarity")
    found = score(names, ["all dogs run"] * 2, [said, "all dogs run"])
    assert found["exact_match"] == (exact + 1) / 2  # the mean over rows
    assert found["edit_similarity"] == pytest.approx((words + 1) / 2)
    if characters is not None:
        assert found["character_similarity"] == pytest.approx((characters + 1) / 2)


@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abc"), max_size=6))
def test_similarities_are_those_of_the_recursive_definition(a: list[str], b: list[str]) -> None:
    @cache
    def distance(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        same = a[i - 1] == b[j - 1]
        return min(
            distance(i - 1, j) + 1, distance(i, j - 1) + 1, distance(i - 1, j - 1) + 1 - same
        )

    wanted = 1 - distance(len(a), len(b)) / max(len(a), len(b), 1)
    assert METRICS["edit_similarity"]([" ".join(a)], [" ".join(b)]) == pytest.approx(wanted)
    assert METRICS["character_similarity"](["".join(a)], ["".join(b)]) == pytest.approx(wanted)


def test_texts_and_numbers_are_not_mixed_up() -> None:
    with pytest.raises(ConfigError, match=r'"accuracy" is not for texts') as caught:
        score(("accuracy",), TEXTS, TEXTS)
    assert "edit_similarity" in caught.value.hint
    with pytest.raises(ConfigError, match=r'"exact_match" is not for labels or numbers'):
        score(("exact_match",), REFERENCES, PREDICTIONS)


def test_score_answers_by_name() -> None:
    assert score(("f1", "accuracy"), REFERENCES, PREDICTIONS) == {
        "f1": pytest.approx(2 / 3),
        "accuracy": pytest.approx(0.6),
    }


def test_what_cannot_be_scored() -> None:
    with pytest.raises(DivergedError):
        score(("pearson",), [0.0, 1.0], [0.0, math.nan])
    with pytest.raises(ConfigError, match="no row"):
        score(("accuracy",), [], [])
    with pytest.raises(ConfigError) as caught:
        score(("acuracy",), [0.0], [0.0])
    assert caught.value.hint == 'Did you mean "accuracy"?'
