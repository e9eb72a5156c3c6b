"""Scores of generated texts, with rapidfuzz.

Every metric takes references and predictions, one text a row, and returns the mean over rows of a
fraction in [0, 1]; higher is better. Blanks at the ends do not count.
"""

from __future__ import annotations

from collections.abc import Sequence


def exact_match(references: Sequence[str], predictions: Sequence[str]) -> float:
    """Fraction of predictions that are the reference."""
    pairs = zip(references, predictions, strict=True)
    return sum(right.strip() == said.strip() for right, said in pairs) / len(references)


def edit_similarity(references: Sequence[str], predictions: Sequence[str]) -> float:
    """1 - Levenshtein distance / length of the longer, in words: what stands between blanks."""
    return _similarity([r.split() for r in references], [p.split() for p in predictions])


def character_similarity(references: Sequence[str], predictions: Sequence[str]) -> float:
    """1 - Levenshtein distance / length of the longer, in characters."""
    return _similarity([r.strip() for r in references], [p.strip() for p in predictions])


def _similarity(references: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]) -> float:
    from rapidfuzz.distance import Levenshtein

    pairs = zip(references, predictions, strict=True)
    return sum(Levenshtein.normalized_similarity(*pair) for pair in pairs) / len(references)
