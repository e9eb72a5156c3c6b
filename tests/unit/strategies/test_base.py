"""The score of always giving the same answer."""

from __future__ import annotations

import pytest

from peftsearch.formats import Feature
from peftsearch.strategies.base import chance
from peftsearch.tasks import get


def features(*references: float | str) -> list[Feature]:
    return [Feature({"input_ids": [0]}, 0, reference) for reference in references]


def test_of_labels_the_best_answer_counts() -> None:
    assert get("mrpc").metric == "f1"  # the rarer label 1 is the better constant answer
    assert chance(get("mrpc"), features(0.0, 0.0, 0.0, 1.0, 1.0)) == pytest.approx(4 / 7)


def test_of_texts_the_most_frequent_counts() -> None:
    # "a b" is right twice and half right once; no other text is tried.
    found = chance(get("micro-rewrite"), features("a b", "a b", "a c", "d c"))
    assert found == pytest.approx((1 + 1 + 1 / 2 + 0) / 4)
