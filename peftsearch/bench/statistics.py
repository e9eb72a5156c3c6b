"""Summaries over seeds, and whether one strategy is better than another. Pure and torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

#: Up to so many differences every assignment of signs is looked at, which ties do not upset.
_EXACT = 13
#: Digits of a difference in points: what floating-point subtraction leaves is a tie.
_DIGITS = 9


@dataclass(frozen=True)
class Spread:
    """A number over seeds.

    Attributes:
        median: The middle one.
        lowest: The least.
        highest: The greatest.
    """

    median: float
    lowest: float
    highest: float

    def to_json(self) -> dict[str, float]:
        """Return it as JSON types."""
        return asdict(self)


def spread(values: Sequence[float | None]) -> Spread | None:
    """Return median and range of what is there; ``None`` if nothing is."""
    there = [value for value in values if value is not None]
    if not there:
        return None
    return Spread(float(np.median(there)), float(min(there)), float(max(there)))


@dataclass(frozen=True)
class Comparison:
    """Paired differences, theirs minus ours: above zero where ours is lower.

    Attributes:
        n: Pairs, equal ones too.
        median: Median difference, over all pairs.
        p: Two-sided p of Wilcoxon's signed-rank test.
    """

    n: int
    median: float
    p: float

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return asdict(self)


def compare(ours: Sequence[float], theirs: Sequence[float]) -> Comparison:
    """Compare two strategies pair by pair.

    Args:
        ours: One number for each of n >= 1 pairs.
        theirs: The others, in the same order.
    """
    pairs = np.array(theirs, dtype=float) - np.array(ours, dtype=float)
    differences = pairs.round(_DIGITS)
    return Comparison(len(differences), float(np.median(differences)), signed_rank(differences))


def signed_rank(differences: Sequence[float]) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test.

    Equal pairs are left out, as Wilcoxon did; with one left, or none, p is 1. Few differences,
    or many without ties, are tested exactly, the rest by the normal approximation corrected for
    ties.

    Source: Wilcoxon 1945, Biometrics Bulletin 1, 80; as in :func:`scipy.stats.wilcoxon`.
    """
    from scipy.stats import PermutationMethod, wilcoxon

    found = np.array([difference for difference in differences if difference])
    if found.size < 2:
        return 1.0
    ties = len(np.unique(np.abs(found))) < found.size
    method = PermutationMethod() if found.size <= _EXACT else "approx" if ties else "auto"
    return float(wilcoxon(found, method=method).pvalue)
