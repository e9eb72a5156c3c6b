"""What is right for a row, where it is more than one number or one text.

Place in the flow: between rows and metrics. Formats put these into features as references; what a
model says is a number, a text or tags, all of which can be written as JSON. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Tags = tuple[str, ...]
"""One tag for each word of a row; of a prediction fewer where the row was cut."""


@dataclass(frozen=True)
class Texts:
    """Texts of which each is right; none: there is no answer, and the empty text is right.

    Attributes:
        texts: The right texts.
    """

    texts: tuple[str, ...]


@dataclass(frozen=True)
class Grouped:
    """A label id that is scored with the others of its group, e.g. the answers to one question.

    Attributes:
        value: The right label id.
        group: What names the group.
    """

    value: float
    group: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """An image and a text that belong together.

    Attributes:
        image: What names the image: rows with the same one have the same image.
        text: The text.
    """

    image: str
    text: str


@dataclass(frozen=True, eq=False)
class Embedded:
    """What a model makes of a pair: an image and a text that are compared by their product.

    Attributes:
        image: Embedding (width,) of the image.
        text: Embedding (width,) of the text.
    """

    image: npt.NDArray[np.float32]
    text: npt.NDArray[np.float32]


Ranks = tuple[int, int]
"""Rank of the best right text for an image, and of the best right image for a text, from 1."""

Answer = float | str | Texts | Tags | Grouped | Pair | Embedded | Ranks
"""A label id or a number; a text; several right texts; tags; a label within a group; a pair, what
a model makes of it, and the ranks that come out of that."""


def settled(task_format: Any, said: list[Answer], references: Sequence[Answer]) -> list[Answer]:
    """Return final answers, of formats whose answers for one row hang on the other rows.

    Args:
        task_format: The format; one with such answers has a method ``settle``.
        said: What it predicted, one a row.
        references: What is right, one a row.
    """
    settle = getattr(task_format, "settle", None)
    return said if settle is None else list(settle(said, references))


def constant_predictions(references: Sequence[Answer]) -> list[list[Answer]]:
    """Return what a model would predict that always gives the same answer.

    Of numbers every one that occurs is tried; of texts and tags only the most frequent, since
    there are about as many texts as there are rows. Of pairs the same answer is one of all orders.

    Args:
        references: What is right, one a row, all of one kind.

    Returns:
        Lists of predictions, one a row.
    """
    first = references[0]
    if isinstance(first, Pair):
        return [[(rank, rank) for rank in range(1, len(references) + 1)]]
    if isinstance(first, tuple):
        rows = [r for r in references if isinstance(r, tuple)]
        tag = Counter(str(name) for row in rows for name in row).most_common(1)[0][0]
        return [[(tag,) * len(row) for row in rows]]
    said = Counter(map(_simple, references))
    tried = said.most_common(1 if isinstance(first, str | Texts) else None)
    return [[answer] * len(references) for answer, _ in tried]


def _simple(reference: Answer) -> float | str:
    if isinstance(reference, Texts):
        return reference.texts[0] if reference.texts else ""
    if isinstance(reference, Grouped):
        return reference.value
    assert isinstance(reference, int | float | str)
    return reference
