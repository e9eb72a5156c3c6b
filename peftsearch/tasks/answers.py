"""What is right for a row, where it is more than one number or one text.

Place in the flow: between rows and metrics. Formats put these into features as references; what a
model says is a number, a text or tags, all of which can be written as JSON. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

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


Answer = float | str | Texts | Tags | Grouped
"""A label id or a number; a text; several right texts; tags; a label within a group."""


def constant_predictions(references: Sequence[Answer]) -> list[list[Answer]]:
    """Return what a model would predict that always gives the same answer.

    Of numbers every one that occurs is tried; of texts and tags only the most frequent, since
    there are about as many texts as there are rows.

    Args:
        references: What is right, one a row, all of one kind.

    Returns:
        Lists of predictions, one a row.
    """
    first = references[0]
    if isinstance(first, tuple):
        rows = [r for r in references if isinstance(r, tuple)]
        tag = Counter(name for row in rows for name in row).most_common(1)[0][0]
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
