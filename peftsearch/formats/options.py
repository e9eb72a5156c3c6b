"""What the formats of listed choices share: choices of a row's own, as many as it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from peftsearch.formats.base import Feature
from peftsearch.tasks.base import Task
from peftsearch.tasks.rows import Row


@dataclass(frozen=True)
class OptionsFeature(Feature):
    """One tokenised row.

    Attributes:
        options: Token ids of each choice, end token included.
        number: Number of the row in the format's list of choices.
    """

    options: tuple[list[int], ...]
    number: int


def right_option(task: Task, row: Row, texts: Sequence[str]) -> int:
    """Return the place of the choice to train on: of several right ones the first."""
    label = row[task.label_column]
    return texts.index(label[0]) if isinstance(label, list) else int(label)


def likeliest(
    task: Task, scores: Tensor, batch: dict[str, Tensor], texts: Sequence[Sequence[str]]
) -> list[Any]:
    """Return the number of each row's likeliest choice; its text where texts are the answers.

    Args:
        task: The task.
        scores: Log-likelihood of every choice of every row, (choices,).
        batch: ``option_rows`` (choices,), the row of each, and ``row_numbers`` (rows,), its place
            in ``texts``.
        texts: The choices of all rows that the format has seen.
    """
    values: list[float] = scores.tolist()
    of: list[int] = batch["option_rows"].tolist()
    found: list[Any] = []
    for row, number in enumerate(batch["row_numbers"].tolist()):
        likelihoods = [score for score, owner in zip(values, of, strict=True) if owner == row]
        best = max(range(len(likelihoods)), key=likelihoods.__getitem__)
        found.append(texts[number][best] if len(task.choices) == 1 else float(best))
    return found
