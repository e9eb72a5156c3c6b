"""A task made of what a data set says about itself, and of what the user says beside it.

Place in the flow: ``--task hf:owner/name[:config]``, or ``--task classification --data DIR``. Only
what has one meaning is concluded; for the rest an error says what to give. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from peftsearch.errors import ConfigError
from peftsearch.nearest import did_you_mean
from peftsearch.tasks.base import KINDS, LIKELIHOOD_KINDS, LONGEST_TRANSCRIPT, Source, Task
from peftsearch.tasks.media import SUFFIXES
from peftsearch.tasks.metrics import DEFAULTS
from peftsearch.tasks.shapes import HOLDS, OF_LABELS

#: What label columns are called, where their type does not tell them.
_LABELS = ("label", "labels", "target", "score", "tags", "ner_tags", "answers", "summary")
#: What columns with the words of a sound are called.
_TRANSCRIPTS = ("transcription", "transcript", "sentence", "text", "normalized_text")
_SPEECH = "speech-recognition"
#: More different labels than this are taken for something else.
MOST_LABELS = 1000


@dataclass(frozen=True)
class Wishes:
    """What the user says about a data set; empty where nothing was said.

    Attributes:
        text_columns: Columns with the texts.
        label_column: Column with what is right.
        kind: One of :data:`peftsearch.tasks.base.KINDS`.
        train_split: Split to train on; ``train`` by default.
        test_split: Split to test on; by default ``validation``, else ``test``.
        language: What is spoken, for speech recognition.
    """

    text_columns: tuple[str, ...] = ()
    label_column: str | None = None
    kind: str | None = None
    train_split: str | None = None
    test_split: str | None = None
    language: str | None = None


@dataclass(frozen=True)
class Column:
    """What is known of one column.

    Attributes:
        type: ``text``, ``label``, ``integer``, ``number``, ``boolean``, ``texts``, ``labels``,
            ``answers``, ``image``, ``audio`` or ``other``.
        names: Names of the labels by id, where the data set has them.
    """

    type: str
    names: tuple[str, ...] = ()


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Column]:
    """Tell the columns of rows of a file by their values.

    Args:
        rows: The rows; all are looked at, as a number may be whole in the first ones only.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    return {
        name: Column(_type([row[name] for row in rows if row.get(name) is not None]))
        for name in names
    }


def _type(values: Sequence[Any]) -> str:
    checks: dict[str, Callable[[Any], bool]] = {
        "boolean": lambda v: isinstance(v, bool),
        "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
        "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
        **{kind: partial(_is_file, suffixes=SUFFIXES[kind]) for kind in SUFFIXES},
        "text": lambda v: isinstance(v, str),
        "texts": lambda v: isinstance(v, list) and all(isinstance(x, str) for x in v),
        "labels": lambda v: isinstance(v, list) and all(isinstance(x, int) for x in v),
        "answers": lambda v: isinstance(v, Mapping) and "text" in v,
    }
    if not values:
        return "other"
    return next((name for name, check in checks.items() if all(map(check, values))), "other")


def _is_file(value: Any, suffixes: tuple[str, ...]) -> bool:
    """Whether a value names a file with one of these endings, alone or beside its bytes."""
    path = value.get("path") if isinstance(value, Mapping) else value
    return isinstance(path, str) and path.lower().endswith(suffixes)


def infer(
    name: str,
    source: Source,
    columns: Mapping[str, Column],
    rows: Sequence[Mapping[str, Any]],
    wishes: Wishes,
) -> Task:
    """Make a task.

    Args:
        name: Name of the task, as typed.
        source: Where its rows come from.
        columns: What is known of the columns.
        rows: The training rows: they have the labels where the data set does not name them.
        wishes: What the user says.

    Raises:
        ConfigError: Something has more than one meaning, or is not there.
    """
    for column in (*wishes.text_columns, *filter(None, [wishes.label_column])):
        if column not in columns:
            hint = did_you_mean(column, columns)
            raise ConfigError(f'{name}: there is no column "{column}".', hint)
    if wishes.kind in LIKELIHOOD_KINDS:
        return _of_whole_texts(name, source, columns, wishes, wishes.kind)
    if wishes.kind == "image-text-retrieval":
        return _of_pairs(name, source, columns, wishes, wishes.kind)
    heard = _is_speech(wishes, columns)
    find = _transcript_column if heard else _label_column
    label = wishes.label_column or find(name, columns)
    kind = _of_content(wishes.kind or _kind(name, label, columns, heard), label, columns)
    if kind not in KINDS or kind == "choice":
        known = [k for k in KINDS if k != "choice"]
        raise ConfigError(
            f'{name}: the kind "{kind}" is not one of {", ".join(known)}.',
            "Choices need a task file: see docs/tasks.md." if kind == "choice" else "",
        )
    texts = wishes.text_columns or _text_columns(name, kind, label, columns)
    labels = _label_names(name, kind, label, columns[label], rows)
    short = name.removeprefix("hf:").replace(":", "/").rsplit("/", 1)[-1]
    return Task(
        name=name,
        description=f"{kind} of {', '.join(texts)} by {label}",
        kind=kind,
        columns=texts,
        label_column=label,
        labels=labels,
        label_words=labels if kind == "classification" else (),
        template="" if kind in HOLDS else " ".join([short, *(f"{c}: {{{c}}}" for c in texts)]),
        metrics=DEFAULTS[kind],
        max_length=384 if kind == "extraction" else 128,
        max_target_length=LONGEST_TRANSCRIPT if kind == _SPEECH else 64,
        language=(wishes.language or "") if kind == _SPEECH else "",
        source=source,
        unanswerable=kind == "extraction" and any(_is_empty(row.get(label)) for row in rows),
    )


def _is_empty(value: Any) -> bool:
    return not (value.get("text") if isinstance(value, Mapping) else value)


def _shown(columns: Mapping[str, Column]) -> str:
    return ", ".join(f"{name} ({column.type})" for name, column in columns.items())


def _of_whole_texts(
    name: str, source: Source, columns: Mapping[str, Column], wishes: Wishes, kind: str
) -> Task:
    """Return a task that learns one column itself: the one named, or as it is usually called."""
    usual = "text" if kind == "language-modelling" else "messages"
    given = (*wishes.text_columns, *filter(None, [wishes.label_column]))
    if len(set(given)) > 1 or (not given and usual not in columns):
        message = f"{name}: {kind} learns one column; there are {_shown(columns)}."
        raise ConfigError(message, "Give --text-columns NAME.")
    column = given[0] if given else usual
    return Task(
        name=name,
        description=f"{kind} of {column}",
        kind=kind,
        columns=(column,),
        label_column=column,
        metrics=DEFAULTS[kind],
        max_length=512 if kind == "language-modelling" else 1024,
        source=source,
    )


def _of_pairs(
    name: str, source: Source, columns: Mapping[str, Column], wishes: Wishes, kind: str
) -> Task:
    """Return a task whose rows are an image and the text that belongs to it."""
    found = wishes.text_columns or _content_columns(name, kind, "", columns)
    if len(found) != 2:
        raise ConfigError(
            f"{name}: {kind} reads two columns, not {len(found)}.",
            "Give --text-columns IMAGE,TEXT.",
        )
    return Task(
        name=name,
        description=f"{kind} of {found[0]} and {found[1]}",
        kind=kind,
        columns=found,
        label_column=found[1],
        metrics=DEFAULTS[kind],
        source=source,
    )


def _label_column(name: str, columns: Mapping[str, Column]) -> str:
    typed = [n for n, column in columns.items() if column.type in ("label", "labels", "answers")]
    called = [n for n in _LABELS if n in columns]
    for found in (typed, called):
        if len(found) == 1:
            return found[0]
    raise ConfigError(
        f"{name}: it is not clear which column has the labels or answers; there are "
        f"{_shown(columns)}.",
        "Give --label-column NAME.",
    )


def _is_speech(wishes: Wishes, columns: Mapping[str, Column]) -> bool:
    """Whether what is said in sounds is right: it was asked for, or there are no labels."""
    types = {column.type for column in columns.values()}
    return wishes.kind == _SPEECH or (
        wishes.kind is None and "audio" in types and not types & {"label", "labels"}
    )


def _transcript_column(name: str, columns: Mapping[str, Column]) -> str:
    texts = [n for n, column in columns.items() if column.type == "text"]
    for found in (texts, [n for n in _TRANSCRIPTS if n in texts]):
        if len(found) == 1:
            return found[0]
    raise ConfigError(
        f"{name}: it is not clear which column has the transcript; there are {_shown(columns)}.",
        "Give --label-column NAME.",
    )


def _kind(name: str, label: str, columns: Mapping[str, Column], heard: bool) -> str:
    type_ = columns[label].type
    if heard and type_ == "text":
        return _SPEECH
    certain = {
        "label": "classification",
        "boolean": "classification",
        "number": "regression",
        "labels": "tagging",
        "answers": "extraction",
    }
    if type_ in certain:
        return certain[type_]
    open_ = {
        "integer": ("classification", "regression"),
        "text": ("classification", "generation"),
        "texts": ("tagging", "generation"),
    }
    kinds = open_.get(type_, KINDS)
    raise ConfigError(
        f'{name}: "{label}" ({type_}) may stand for {" or ".join(kinds)}.',
        " or ".join(f"--kind {kind}" for kind in kinds),
    )


def _of_content(kind: str, label: str, columns: Mapping[str, Column]) -> str:
    """Return the kind for images, where there are no texts that could be classified."""
    types = {column.type for name, column in columns.items() if name != label}
    pictures = kind == "classification" and "image" in types and "text" not in types
    return "image-classification" if pictures else kind


def _text_columns(
    name: str, kind: str, label: str, columns: Mapping[str, Column]
) -> tuple[str, ...]:
    if kind in HOLDS:
        return _content_columns(name, kind, label, columns)
    wanted = "texts" if kind == "tagging" else "text"
    found = [n for n, column in columns.items() if column.type == wanted and n != label]
    if kind == "extraction" and {"question", "context"} <= set(found):
        return ("question", "context")
    most = {"tagging": 1, "extraction": 0}.get(kind, 2)
    if 1 <= len(found) <= most:
        return tuple(found)
    raise ConfigError(
        f"{name}: it is not clear which columns are read; there are {_shown(columns)}.",
        "Give --text-columns NAME,NAME.",
    )


def _content_columns(
    name: str, kind: str, label: str, columns: Mapping[str, Column]
) -> tuple[str, ...]:
    """Return the columns that hold what a kind reads: of that type, or else called like it."""
    found = []
    for content in HOLDS[kind]:
        typed = [n for n, column in columns.items() if column.type == content and n != label]
        if len(typed) != 1:
            typed = [content] if content in columns else []
        if not typed:
            message = f"{name}: it is not clear which column is the {content}; there are "
            raise ConfigError(f"{message}{_shown(columns)}.", "Give --text-columns NAME.")
        found += typed
    return tuple(found)


def _label_names(
    name: str, kind: str, label: str, column: Column, rows: Sequence[Mapping[str, Any]]
) -> tuple[str, ...]:
    if kind not in (*OF_LABELS, "tagging"):
        return ()
    if column.names:
        return column.names
    values = [row.get(label) for row in rows]
    each = [v for value in values for v in (value if isinstance(value, list) else [value])]
    different = {v for v in each if v is not None and v != ""}
    if not 2 <= len(different) <= MOST_LABELS:
        raise ConfigError(
            f'{name}: "{label}" has {len(different):,} different values, which are no labels.',
            "Give another --label-column or --kind.",
        )
    numbers = all(isinstance(v, int | float) for v in different)
    return tuple(str(v) for v in (sorted(different) if numbers else sorted(different, key=str)))
