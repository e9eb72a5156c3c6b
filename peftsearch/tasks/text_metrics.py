"""Scores of generated texts, with rapidfuzz.

Every metric takes references and predictions, one text a row, and returns the mean over rows of a
fraction in [0, 1]; higher is better. Blanks at the ends do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from peftsearch.tasks.answers import Texts


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


def best_of(
    metric: Callable[[Sequence[str], Sequence[str]], float],
    references: Sequence[Texts],
    predictions: Sequence[str],
) -> float:
    """Mean over rows of the best score over the right texts; without any the empty text is right.

    Args:
        metric: A mean over rows.
        references: The right texts, one or more a row.
        predictions: What is said, one text a row.
    """
    if all(len(row.texts) == 1 for row in references):
        return metric([row.texts[0] for row in references], predictions)
    pairs = zip(references, predictions, strict=True)
    best = [max(metric([text], [said]) for text in row.texts or ("",)) for row, said in pairs]
    return sum(best) / len(best)
