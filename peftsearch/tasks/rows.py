"""Checking raw records and turning them into rows with label ids.

Place in the flow: below :mod:`peftsearch.tasks.base`. Pure; reads and writes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peftsearch.errors import ConfigError
from peftsearch.nearest import did_you_mean
from peftsearch.tasks.conversations import conversation

Row = dict[str, Any]

MOST_PROBLEMS = 10
"""So many wrong rows are named; the rest is counted."""


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
        labels: Label names by id; empty unless it is a classification.
        kind: One of :data:`peftsearch.tasks.base.KINDS`.
    """

    columns: tuple[str, ...]
    label_column: str
    labels: tuple[str, ...]
    kind: str

    def text(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """The texts of a checked row: what makes two rows the same."""
        return tuple(row[column] for column in self.columns)


def labels_are_hidden(records: Sequence[Record], column: str) -> bool:
    """Whether no record has a label (GLUE writes -1 where labels are hidden)."""
    return all(record.values.get(column) in (None, "", -1, "-1", -1.0) for record in records)


def checked_rows(
    records: Sequence[Record],
    shape: Shape,
    problems: list[ConfigError],
    empty_text: bool = False,
) -> list[Row]:
    """Convert records to rows that hold the text columns and the label, and nothing else.

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
    for column in (*shape.columns, shape.label_column):
        if column not in found:
            where = records[0].where
            hint = did_you_mean(column, found) if found else ""
            return ConfigError(f'{where}: there is no column "{column}".', hint)
    return None


def _checked_row(record: Record, shape: Shape, empty_text: bool) -> Row:
    row: Row = {}
    for column in shape.columns:
        if shape.kind == "chat":
            row[column] = _conversation(record.values.get(column), record, shape)
        else:
            row[column] = _text(column, record, empty_text)
    label = record.values.get(shape.label_column)
    if label is None or label == "":
        raise ConfigError(f'{record.where}: "{shape.label_column}" is missing.')
    row[shape.label_column] = _ANSWERS[shape.kind](label, record, shape)
    return row


def _text(column: str, record: Record, empty: bool) -> str:
    value = record.values.get(column)
    if value is None:
        raise ConfigError(f'{record.where}: "{column}" is missing.')
    if not isinstance(value, str):
        raise ConfigError(
            f'{record.where}: "{column}" is {value!r}, not a text.', "Write it in quotes."
        )
    if not value.strip() and not empty:
        raise ConfigError(f'{record.where}: "{column}" is empty.')
    return value


def _target(value: Any, record: Record, shape: Shape) -> str:
    return _text(shape.label_column, record, empty=False)


def _conversation(value: Any, record: Record, shape: Shape) -> str:
    return conversation(value, record.where)


def _number(value: Any, record: Record, shape: Shape) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f'{record.where}: "{shape.label_column}" is {value!r}, not a number.')
    return number


def _label_id(value: Any, record: Record, shape: Shape) -> int:
    """Find the id of a label given as name or id.

    Names win over ids, so that labels named "1" … "5" mean what the file says.
    """
    text = str(value).lower() if isinstance(value, bool) else str(value).strip()
    if text in shape.labels:
        return shape.labels.index(text)
    # With such names a number that is no name is a slip, not an id.
    numeric_names = any(name.lstrip("-").isdigit() for name in shape.labels)
    if not isinstance(value, bool) and not numeric_names:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if number in range(len(shape.labels)):
            return int(number)
    names = ", ".join(f"{i} {name}" for i, name in enumerate(shape.labels))
    raise ConfigError(
        f"{record.where}: the {shape.label_column} {value!r} is not known.", f"Known: {names}."
    )


_ANSWERS: dict[str, Callable[[Any, Record, Shape], float | str]] = {
    "classification": _label_id,
    "regression": _number,
    "generation": _target,
    "language-modelling": _target,
    "chat": _conversation,
}
