"""Checking raw records and turning them into rows with label ids.

Place in the flow: below :mod:`peftsearch.tasks.base`. Pure; reads and writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from peftsearch.errors import ConfigError
from peftsearch.nearest import did_you_mean
from peftsearch.tasks.images import image_of
from peftsearch.tasks.labels import READERS, conversation_of, text_of, texts_of
from peftsearch.tasks.media import Media
from peftsearch.tasks.shapes import Record, Row, Shape, as_text, labels_are_hidden
from peftsearch.tasks.sounds import sound_of

__all__ = ["MOST_PROBLEMS", "Record", "Row", "Shape", "checked_rows", "labels_are_hidden"]

MOST_PROBLEMS = 10
"""So many wrong rows are named; the rest is counted."""
_CONTENTS: Mapping[str, Callable[[str, Record, Path | None], Media]] = {
    "image": image_of,
    "audio": sound_of,
}
"""How a column is read that holds no text, see :data:`peftsearch.tasks.shapes.HOLDS`."""


def checked_rows(
    records: Sequence[Record],
    shape: Shape,
    problems: list[ConfigError],
    empty_text: bool = False,
) -> list[Row]:
    """Convert records to rows that hold the columns of the task, and nothing else.

    Args:
        records: Raw records.
        shape: What the task asks for.
        problems: Receives one error for every wrong record, at most ten and a count.
        empty_text: Whether an empty text is accepted.
    """
    missing = _missing_columns(records, shape)
    if missing is not None:
        problems.append(missing)
        return []
    rows: list[Row] = []
    wrong: list[ConfigError] = []
    for record in records:
        try:
            rows.append(_checked_row(record, shape, empty_text))
        except ConfigError as error:
            wrong.append(error)
    problems += wrong[:MOST_PROBLEMS]
    if len(wrong) > MOST_PROBLEMS:
        problems.append(ConfigError(f"… and {len(wrong) - MOST_PROBLEMS} more wrong rows."))
    return rows


def _missing_columns(records: Sequence[Record], shape: Shape) -> ConfigError | None:
    """Name a column that no record has: one clear error instead of one for each row."""
    found = {name for record in records for name in record.values}
    for column in (*shape.columns, *shape.choices, *shape.group, shape.label_column):
        if column not in found:
            where = records[0].where
            hint = did_you_mean(column, found) if found else ""
            return ConfigError(f'{where}: there is no column "{column}".', hint)
    return None


def _checked_row(record: Record, shape: Shape, empty_text: bool) -> Row:
    row: Row = {name: as_text(record.values.get(name)) for name in shape.group}
    for column in shape.columns:
        row[column] = _column(column, record, shape, empty_text)
    for column in shape.choices:
        several = len(shape.choices) == 1
        row[column] = texts_of(column, record) if several else text_of(column, record)
    label = record.values.get(shape.label_column)
    if label is None or (isinstance(label, str) and not label and not shape.unanswerable):
        raise ConfigError(f'{record.where}: "{shape.label_column}" is missing.')
    row[shape.label_column] = READERS[shape.kind](label, record, shape)
    return row


def _column(column: str, record: Record, shape: Shape, empty_text: bool) -> str | list[str] | Media:
    content = shape.holds(column)
    if content in _CONTENTS:
        return _CONTENTS[content](column, record, shape.folder)
    if shape.kind == "chat":
        return conversation_of(record.values.get(column), record, shape)
    if shape.kind == "tagging":
        return texts_of(column, record)
    return text_of(column, record, empty_text)
