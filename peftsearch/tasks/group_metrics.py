"""Scores over groups of rows, e.g. over all answers to one question."""

from __future__ import annotations

from collections.abc import Sequence

from peftsearch.tasks.answers import Grouped


def group_exact_match(references: Sequence[Grouped], predictions: Sequence[float]) -> float:
    """Fraction of groups of which every row is right (MultiRC's EM)."""
    right: dict[tuple[str, ...], bool] = {}
    for wanted, said in zip(references, predictions, strict=True):
        right[wanted.group] = right.get(wanted.group, True) and wanted.value == said
    return sum(right.values()) / len(right)
