"""Scores of one tag a word: entities with seqeval, words with scikit-learn.

A row that was cut has fewer predictions than words; what is missing is no entity and no right tag.
"""

from __future__ import annotations

from collections.abc import Sequence

from peftsearch.tasks.answers import Tags
from peftsearch.tasks.packages import needed

OUTSIDE = "O"


def entity_f1(references: Sequence[Tags], predictions: Sequence[Tags]) -> float:
    """Micro F1 of whole entities, as CoNLL scores them; 0 where there is none at all.

    Tags are B-x, I-x and O; an entity is right where kind, begin and end are.
    """
    f1_score = needed("seqeval.metrics", "seqeval").f1_score
    right = [list(row) for row in references]
    said = [_whole(row, len(tags), OUTSIDE) for row, tags in zip(predictions, right, strict=True)]
    return float(f1_score(right, said, average="micro", zero_division=0))


def word_accuracy(references: Sequence[Tags], predictions: Sequence[Tags]) -> float:
    """Fraction of words whose tag is right."""
    right, said = _words(references, predictions)
    return sum(a == b for a, b in zip(right, said, strict=True)) / len(right)


def tag_f1(references: Sequence[Tags], predictions: Sequence[Tags]) -> float:
    """Mean F1 over the tags that occur in the references, word by word."""
    from sklearn.metrics import f1_score

    right, said = _words(references, predictions)
    labels = sorted(set(right))
    return float(f1_score(right, said, labels=labels, average="macro", zero_division=0.0))


def _words(references: Sequence[Tags], predictions: Sequence[Tags]) -> tuple[list[str], list[str]]:
    right = [name for row in references for name in row]
    pairs = zip(references, predictions, strict=True)
    said = [name for row, tags in pairs for name in _whole(tags, len(row), "")]
    return right, said


def _whole(row: Tags, length: int, missing: str) -> list[str]:
    return [*row, *[missing] * (length - len(row))]
