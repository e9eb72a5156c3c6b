"""Scores of transcripts: errors of words and characters, with rapidfuzz.

The rate of errors is the Levenshtein distance of all rows over the length of all right texts. It
is better the lower it is, and above one where more is said than was to be said; one minus it is
what decides. Texts are compared as they stand: case and punctuation count, blanks divide words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from peftsearch.tasks.answers import Texts


def wer(references: Sequence[Texts], predictions: Sequence[str]) -> float:
    """Word error rate: at least 0, lower is better."""
    return _rate(references, predictions, str.split)


def cer(references: Sequence[Texts], predictions: Sequence[str]) -> float:
    """Character error rate, blanks between words counted: at least 0, lower is better."""
    return _rate(references, predictions, lambda text: list(text.strip()))


def one_minus_wer(references: Sequence[Texts], predictions: Sequence[str]) -> float:
    """One minus the word error rate: at most 1, below 0 where more is wrong than was said."""
    return 1 - wer(references, predictions)


def one_minus_cer(references: Sequence[Texts], predictions: Sequence[str]) -> float:
    """One minus the character error rate: at most 1."""
    return 1 - cer(references, predictions)


def _rate(
    references: Sequence[Texts], predictions: Sequence[str], split: Callable[[str], list[str]]
) -> float:
    """Return errors over units; of several right texts the one with the fewest errors counts."""
    from rapidfuzz.distance import Levenshtein

    errors = units = 0
    for row, said in zip(references, predictions, strict=True):
        right = [split(text) for text in row.texts or ("",)]
        found = [(Levenshtein.distance(each, split(said)), -len(each)) for each in right]
        fewest, length = min(found)
        errors += fewest
        units -= length
    return errors / max(1, units)
