"""Summaries and the signed-rank test, against all sign patterns, scipy, and by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from peftsearch.bench.statistics import Comparison, Spread, compare, signed_rank, spread


def by_all_signs(differences: list[float]) -> float:
    """Two-sided p from the distribution of the rank sum over every assignment of signs."""
    there = [d for d in differences if d != 0]
    sizes = sorted(abs(d) for d in there)
    # Mean rank of each size, ties shared.
    ranks = [(2 * sizes.index(abs(d)) + sizes.count(abs(d)) + 1) / 2 for d in there]
    seen = sum(rank for rank, d in zip(ranks, there, strict=True) if d > 0)
    sums = [
        sum(rank for rank, up in zip(ranks, signs, strict=True) if up)
        for signs in itertools.product((False, True), repeat=len(ranks))
    ]
    low = sum(s <= seen + 1e-9 for s in sums) / len(sums)
    high = sum(s >= seen - 1e-9 for s in sums) / len(sums)
    return min(1.0, 2 * min(low, high))


@given(st.lists(st.integers(-4, 4), max_size=8))
def test_signed_rank_of_few_pairs_with_ties_and_zeros(differences: list[int]) -> None:
    found = signed_rank([float(d) for d in differences])
    assert found == pytest.approx(by_all_signs([float(d) for d in differences]))


@pytest.mark.parametrize("seed", range(5))
def test_signed_rank_of_many_pairs_without_ties_is_exact(seed: int) -> None:
    drawn = np.random.default_rng(seed).normal(0.3, 1, 40)
    assert signed_rank(list(drawn)) == pytest.approx(wilcoxon(drawn, method="exact").pvalue)


def test_signed_rank_of_many_pairs_with_ties_by_hand() -> None:
    # 12 times +1 and 4 times -1: mean rank 8.5, W = 12 * 8.5 = 102, expected 68, and with ties
    # the variance is the sum of the squared ranks / 4 = 16 * 8.5^2 / 4 = 289, sd 17: z = 2.
    assert signed_rank([1.0] * 12 + [-1.0] * 4) == pytest.approx(0.0455, abs=1e-4)


def test_all_equal_is_no_evidence() -> None:
    assert compare([1.0, 2.0], [1.0, 2.0]) == Comparison(2, 0.0, 1.0)
    assert compare([0.3], [0.1 + 0.2]) == Comparison(1, 0.0, 1.0)


def test_compare_by_hand() -> None:
    # Theirs minus ours: 1, 2, 3, 4, 5, all above zero: p = 2 / 2^5.
    found = compare([0, 0, 0, 0, 0], [1, 2, 3, 4, 5])
    assert (found.n, found.median) == (5, 3.0)
    assert found.p == pytest.approx(2 / 32)
    assert compare([1, 2, 3, 4, 5], [0, 0, 0, 0, 0]).median == -3.0


def test_spread() -> None:
    assert spread([3.0, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0)
    assert spread([4.0, None, 1.0]) == Spread(2.5, 1.0, 4.0)
    assert spread([None]) is None
