"""Metrics against values worked out by hand, and their corner cases."""

from __future__ import annotations

import math

import pytest

from peftsearch.errors import ConfigError, DivergedError
from peftsearch.tasks import METRICS, score

REFERENCES = [1.0, 1.0, 0.0, 0.0, 1.0]
PREDICTIONS = [1.0, 0.0, 0.0, 1.0, 1.0]


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


@pytest.mark.parametrize("name", METRICS)
def test_a_perfect_prediction_scores_one(name: str) -> None:
    assert METRICS[name](REFERENCES, REFERENCES) == pytest.approx(1.0)


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
