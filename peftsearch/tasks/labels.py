"""Reading what is right for a row from its label column, for each kind of task.

Place in the flow: below :mod:`peftsearch.tasks.rows`. Pure. Every function takes the value, the
record it is from and the shape of the task, and raises :class:`ConfigError` with the place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from peftsearch.errors import ConfigError
from peftsearch.tasks.conversations import conversation
from peftsearch.tasks.shapes import Record, Shape


def text_of(column: str, record: Record, empty: bool = False) -> str:
    """Return the text of a column.

    Args:
        column: Name of the column.
        record: The record.
        empty: Whether an empty text is accepted.

    Raises:
        ConfigError: It is missing, empty, or no text.
    """
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


def texts_of(column: str, record: Record) -> list[str]:
    """Return the list of texts of a column; a text counts as its words (files without lists).

    Raises:
        ConfigError: It is missing or empty, or one of them is empty or no text.
    """
    value = record.values.get(column)
    if value is None:
        raise ConfigError(f'{record.where}: "{column}" is missing.')
    found = value.split() if isinstance(value, str) else value
    if not isinstance(found, list | tuple):
        raise ConfigError(f'{record.where}: "{column}" is {value!r}, not a list of texts.')
    if not found:
        raise ConfigError(f'{record.where}: "{column}" is empty.')
    for number, text in enumerate(found, 1):
        if not isinstance(text, str) or not text.strip():
            raise ConfigError(f'{record.where}: entry {number} of "{column}" is {text!r}.')
    return list(found)


def _target(value: Any, record: Record, shape: Shape) -> str | list[str]:
    """Return the text to write, or the list of right ones, of which the first is trained on."""
    if isinstance(value, list | tuple):
        return texts_of(shape.label_column, record)
    return text_of(shape.label_column, record)


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
    text = str(value).strip()
    if text in shape.labels:
        return shape.labels.index(text)
    if isinstance(value, bool) and text.lower() in shape.labels:
        return shape.labels.index(text.lower())
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


def _choice(value: Any, record: Record, shape: Shape) -> int | list[str]:
    """Return the index of the right choice, or the list of right choices."""
    several = len(shape.choices) == 1
    options = (
        texts_of(shape.choices[0], record) if several else [record.values[n] for n in shape.choices]
    )
    if several and isinstance(value, list | tuple | str):
        right = [value] if isinstance(value, str) else list(value)
        if right and all(text in options for text in right):
            return right
        raise ConfigError(f"{record.where}: the {shape.label_column} {value!r} is no choice.")
    try:
        number = -1.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = -1.0
    if number in range(len(options)):
        return int(number)
    if isinstance(value, str) and value in options:
        return options.index(value)
    raise ConfigError(
        f"{record.where}: the {shape.label_column} is {value!r}.",
        f"Give the number of the right choice, from 0 to {len(options) - 1}.",
    )


def _tags(value: Any, record: Record, shape: Shape) -> list[int]:
    """Return the label id of every word."""
    tags = value.split() if isinstance(value, str) else value
    words = texts_of(shape.columns[0], record)
    if not isinstance(tags, list | tuple) or len(tags) != len(words):
        found = len(tags) if isinstance(tags, list | tuple) else repr(value)
        raise ConfigError(
            f'{record.where}: "{shape.label_column}" has {found} tags for {len(words)} words.'
        )
    return [_label_id(tag, record, shape) for tag in tags]


def _answers(value: Any, record: Record, shape: Shape) -> dict[str, list[Any]]:
    """Return texts and places of the answers, in the form of SQuAD."""
    context = text_of(shape.columns[-1], record)
    texts, starts = _given_answers(value, record, shape)
    if not texts and not shape.unanswerable:
        raise ConfigError(
            f'{record.where}: "{shape.label_column}" holds no answer.',
            "If some questions have none: unanswerable: true in a task file.",
        )
    found = []
    for text, start in zip(texts, starts, strict=True):
        if not isinstance(text, str) or not text.strip():
            raise ConfigError(f"{record.where}: the answer {text!r} is no text.")
        place = start if isinstance(start, int) else context.find(text)
        if place < 0 or context[place : place + len(text)] != text:
            where = f" at character {start}" if isinstance(start, int) else ""
            raise ConfigError(
                f'{record.where}: the answer "{text}" does not stand in "{shape.columns[-1]}"'
                f"{where}."
            )
        found.append(place)
    return {"text": list(texts), "answer_start": found}


def _given_answers(value: Any, record: Record, shape: Shape) -> tuple[list[Any], list[Any]]:
    """Return texts, and starts where they are given: SQuAD's mapping, a list, or one text."""
    if isinstance(value, Mapping):
        texts, starts = value.get("text"), value.get("answer_start")
        if isinstance(texts, list) and (starts is None or isinstance(starts, list)):
            if starts is None or len(starts) == len(texts):
                return texts, starts if starts is not None else [None] * len(texts)
    elif isinstance(value, list):
        return value, [None] * len(value)
    elif isinstance(value, str):
        return ([value], [None]) if value else ([], [])
    raise ConfigError(
        f'{record.where}: "{shape.label_column}" is {value!r:.60}, not answers.',
        'Write {"text": [...], "answer_start": [...]}, or the answer as a text.',
    )


def _whole(value: Any, record: Record, shape: Shape) -> str:
    """Return the text that is learned as it stands."""
    return text_of(shape.label_column, record)


def conversation_of(value: Any, record: Record, shape: Shape) -> str:
    """Return a list of messages as JSON, see :mod:`peftsearch.tasks.conversations`."""
    return conversation(value, record.where)


READERS: dict[str, Callable[[Any, Record, Shape], Any]] = {
    "classification": _label_id,
    "image-classification": _label_id,
    "regression": _number,
    "generation": _target,
    "speech-recognition": _target,
    "choice": _choice,
    "tagging": _tags,
    "extraction": _answers,
    "language-modelling": _whole,
    "chat": conversation_of,
    "image-text-retrieval": _whole,
}
"""How the label of each kind of task is read."""
