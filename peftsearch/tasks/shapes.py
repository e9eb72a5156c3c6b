"""A raw record, a checked row, and what a task asks of it.

Place in the flow: below all of :mod:`peftsearch.tasks`. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]

#: What the columns of a kind hold, by place, for the kinds whose columns are not texts alone. The
#: columns are called so where a task does not name them.
HOLDS: Mapping[str, tuple[str, ...]] = {
    "image-classification": ("image",),
    "speech-recognition": ("audio",),
    "image-text-retrieval": ("image", "text"),
}
#: Kinds with one label of a few for each row.
OF_LABELS = ("classification", "image-classification")


@dataclass(frozen=True)
class Record:
    """One unchecked row and where it stands, e.g. ``train.jsonl line 3``."""

    where: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Shape:
    """The part of a task that rows must agree with.

    Attributes:
        columns: Text columns.
        label_column: Column with the label.
        labels: Label names by id; empty unless it is a classification or tagging.
        kind: One of :data:`peftsearch.tasks.base.KINDS`.
        choices: Columns that hold one choice each, or the one that holds a list.
        group: Columns that name which rows belong together.
        unanswerable: Whether a question may have no answer.
        folder: Where relative paths in rows begin; ``None`` where rows come without files.
    """

    columns: tuple[str, ...]
    label_column: str
    labels: tuple[str, ...]
    kind: str
    choices: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    unanswerable: bool = False
    folder: Path | None = None

    def holds(self, column: str) -> str:
        """What a column holds: ``text``, or what :data:`HOLDS` says."""
        contents = dict(zip(self.columns, HOLDS.get(self.kind, ()), strict=False))
        return contents.get(column, "text")

    def text(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """The texts, images and sounds of a checked row: what makes two rows the same."""
        return tuple(as_text(row[name]) for name in (*self.columns, *self.choices))

    def together(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """What rows share that are never divided: group, image of a pair, or all of their texts."""
        if self.kind == "image-text-retrieval":
            return (as_text(row[self.columns[0]]),)
        return tuple(row[name] for name in self.group) if self.group else self.text(row)


def as_text(value: Any) -> str:
    """Return a text as it is, and anything else as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def labels_are_hidden(records: Sequence[Record], column: str) -> bool:
    """Whether no record has a label (GLUE writes -1 where labels are hidden)."""
    return all(_is_hidden(record.values.get(column)) for record in records)


def _is_hidden(value: Any) -> bool:
    if isinstance(value, Mapping | list | tuple):
        return False
    return value in (None, "", -1, "-1", -1.0)
