"""What a task is, where its rows come from, and how they are divided.

Place in the flow: the first stage. Reads the rows of a task from its source; writes nothing.
Torch-free; ``datasets`` is imported only when rows come from the Hub.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from peftsearch.errors import ConfigError
from peftsearch.micro.lexicon import Split
from peftsearch.tasks.answers import Answer, Grouped, Pair, Texts
from peftsearch.tasks.counting import Counts, count, missing_labels
from peftsearch.tasks.rows import Record, Row, Shape, checked_rows, labels_are_hidden
from peftsearch.tasks.splitting import divide, pick
from peftsearch.tasks.tables import Tables

KINDS = (
    "classification",
    "image-classification",
    "regression",
    "generation",
    "speech-recognition",
    "choice",
    "tagging",
    "extraction",
    "language-modelling",
    "chat",
    "image-text-retrieval",
)
#: Kinds that are scored by how likely the right tokens are.
LIKELIHOOD_KINDS = ("language-modelling", "chat")
FORMATS = ("auto", "text", "head")
SCORINGS = ("likelihood", "generation")
#: Longest transcript in tokens: half of what Whisper can write.
LONGEST_TRANSCRIPT = 224
SELECTION_SHARE = 0.1
SELECTION_FLOOR = 200
SEARCH_VALID_FRACTION = 0.3


@dataclass(frozen=True)
class Hub:
    """Rows from a data set of the Hub.

    Attributes:
        path: Data set id, e.g. ``nyu-mll/glue``.
        config: Name of its configuration, if it has several.
        train: Name of the split to train on.
        test: Name of the split to test on; its labels must be public.
        more_tests: Further splits that are scored beside the test, e.g. mismatched MNLI.
        revision: Commit, tag or branch; ``None`` for the default branch.
        data_dir: Folder of the data set that holds the files, where it has no configurations.
    """

    path: str
    config: str | None = None
    train: str = "train"
    test: str = "validation"
    more_tests: tuple[str, ...] = ()
    revision: str | None = None
    data_dir: str | None = None


@dataclass(frozen=True)
class Builtin:
    """Rows made by a function of this package: ``function(split) -> rows``."""

    function: Callable[[Split], list[Row]]
    train: Split = "train"
    test: Split = "test"


@dataclass(frozen=True)
class Folder:
    """Rows from files named ``train``, ``validation`` and optionally ``test`` in a folder."""

    path: Path


Source = Hub | Builtin | Folder


@dataclass(frozen=True)
class Task:
    """A task: its columns, its labels, its wording and its metrics.

    Attributes:
        name: Short name, as typed after ``--task``.
        description: One line for tables.
        kind: One of :data:`KINDS`. ``choice`` picks one of several texts of the row, ``tagging``
            gives every word a label, ``extraction`` finds the answer to a question in a text.
        columns: Text columns, in order; encoders read all but the last as one text. For tagging
            the one with the list of words; for extraction question and context. Of some kinds
            they hold images or sounds, see :data:`peftsearch.tasks.shapes.HOLDS`.
        label_column: Column with the label id, with the number for regression, with the text (or
            the list of right texts) to write for generation, with the index of the right choice
            or the list of right ones, with the list of tags, or with the answers; the text column
            itself where its text is what is learned.
        labels: Label names by id, or the tags; empty for the other kinds.
        label_words: Target text of each label id, for text-to-text models. For regression the
            numbers a model may answer; empty means 0.0, 0.2, … 5.0, as T5 was trained.
        template: Input text for text-to-text models, with ``{column}`` for every column.
        metrics: Names of metrics; the first is the primary one.
        max_length: Longest input, in tokens.
        max_target_length: Longest text to write, in tokens, end token included.
        target_tokenizer: Where the tokenizer of the texts to write lies, if it is not the model's
            own: a folder inside the model's, a path, or an id of the Hub.
        source: Where the rows come from; ``None`` if only ``--data`` can say so.
        format: How it meets a model, see :mod:`peftsearch.formats.choosing`.
        choices: For choice: the columns that hold one choice each, or the one that holds a list.
        placeholder: For choice: what a choice is put in place of in the columns; empty: a choice
            stands behind them.
        group: Columns that name which rows are scored together, and never divided.
        scoring: How a model that writes answers with label words: ``likelihood`` compares all of
            them, ``generation`` lets it write, and what is no label word is wrong.
        unanswerable: For extraction: whether a question may have no answer in its text.
        stride: For extraction: tokens that two windows of a long text share.
        language: For speech recognition: what is spoken, e.g. ``en``; empty: what the model knows.
        prepare: Turns the raw values of a record into those of the columns.
    """

    name: str
    description: str
    kind: str
    columns: tuple[str, ...]
    label_column: str = "label"
    labels: tuple[str, ...] = ()
    label_words: tuple[str, ...] = ()
    template: str = ""
    metrics: tuple[str, ...] = ("accuracy",)
    max_length: int = 128
    max_target_length: int = 64
    target_tokenizer: str | None = None
    source: Source | None = None
    format: str = "auto"
    choices: tuple[str, ...] = ()
    placeholder: str = ""
    group: tuple[str, ...] = ()
    scoring: str = "likelihood"
    unanswerable: bool = False
    stride: int = 64
    language: str = ""
    prepare: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None

    @property
    def metric(self) -> str:
        """The primary metric."""
        return self.metrics[0]

    @property
    def shape(self) -> Shape:
        """What is needed to check and convert rows."""
        return Shape(
            self.columns,
            self.label_column,
            self.labels,
            self.kind,
            self.choices,
            self.group,
            self.unanswerable,
        )

    def fields(self, row: Row) -> dict[str, str]:
        """Return what may stand in the template: the texts of columns and choices by name."""
        values = {name: row[name] for name in (*self.columns, *self.choices)}
        return {n: v if isinstance(v, str) else ", ".join(v) for n, v in values.items()}

    def options(self, row: Row) -> list[str]:
        """Return the texts to choose from."""
        if len(self.choices) == 1:
            return list(row[self.choices[0]])
        return [row[name] for name in self.choices]

    def reference(self, row: Row) -> Answer:
        """Return what is right for a row, as the metrics want it."""
        label = row[self.label_column]
        if self.kind == "image-text-retrieval":
            return Pair(str(row[self.columns[0]]), row[self.columns[1]])
        if self.kind == "extraction":
            return Texts(tuple(label["text"]))
        if self.kind == "tagging":
            return tuple(self.labels[i] for i in label)
        if isinstance(label, list):
            return Texts(tuple(label))
        if self.kind in ("generation", "speech-recognition", *LIKELIHOOD_KINDS):
            return str(label).strip()
        if self.group:
            return Grouped(float(label), tuple(row[name] for name in self.group))
        return float(label)


@dataclass(frozen=True)
class TaskData:
    """The rows of a task: texts, and labels as ids (floats in regression, texts in generation).

    Attributes:
        task: The task they belong to.
        train: Rows to divide with :func:`split`.
        test: Rows for the one final test.
        fingerprint: SHA-256 of all rows used, in hexadecimal.
        test_name: ``validation`` or ``test``: the public split that serves as test.
        more_tests: Rows of further tests by split name.
        counts: What can be seen in them; ``None`` where rows were put together by hand.
    """

    task: Task
    train: list[Row]
    test: list[Row]
    fingerprint: str
    test_name: str
    more_tests: Mapping[str, list[Row]] = field(default_factory=dict)
    counts: Counts | None = None


@dataclass(frozen=True)
class Splits:
    """The four splits (see the vocabulary in the documentation) and further tests.

    Attributes:
        notices: Sentences on labels that are not in every part.
    """

    search_train: list[Row]
    search_valid: list[Row]
    selection: list[Row]
    test: list[Row]
    more_tests: Mapping[str, list[Row]] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Raw:
    """Unchecked records of one source."""

    train: list[Record]
    test: list[Record]
    test_name: str
    more_tests: Mapping[str, list[Record]] = field(default_factory=dict)
    empty_text: bool = False


def load(
    task: Task,
    data_dir: Path | str | None = None,
    train_rows: int | None = None,
    test_rows: int | None = None,
    seed: int = 0,
) -> TaskData:
    """Read the rows of a task.

    Args:
        task: The task.
        data_dir: Folder of files that replaces the source of the task.
        train_rows: At most so many training rows, drawn by label with the seed; ``None`` for
            all.
        test_rows: The same for the test rows (of each test).
        seed: Root seed.

    Raises:
        ConfigError: A row has no text or a label outside the names, with file and row number.
        MissingError: Files or the data set are not there or cannot be reached.
    """
    source = Folder(Path(data_dir)) if data_dir is not None else task.source
    if source is None:
        raise ConfigError(
            f'the task "{task.name}" does not say where its rows are.',
            "Give a folder: --data DIR, or a line data: in the task file.",
        )
    raw = _prepared(_read(source, task), task)
    folder = source.path if isinstance(source, Folder) else None
    shape = replace(task.shape, folder=folder)
    problems: list[ConfigError] = []
    train = checked_rows(raw.train, shape, problems, raw.empty_text)
    test = checked_rows(raw.test, shape, problems, raw.empty_text)
    more = {
        name: checked_rows(records, shape, problems, raw.empty_text)
        for name, records in raw.more_tests.items()
    }
    if problems:
        raise ConfigError.collected(problems)
    tables = [(raw.train, train), (raw.test, test), *((raw.more_tests[n], more[n]) for n in more)]
    places = {
        id(row): record.where
        for records, rows in tables
        for record, row in zip(records, rows, strict=True)
    }
    train = pick(train, shape, train_rows, seed, "train")
    test = pick(test, shape, test_rows, seed, "test")
    more = {name: pick(rows, shape, test_rows, seed, name) for name, rows in more.items()}
    counts = count({"train": train, raw.test_name: test, **more}, shape, lambda r: places[id(r)])
    digest = _fingerprint(train, test, more)
    return TaskData(task, train, test, digest, raw.test_name, more, counts)


def _prepared(raw: _Raw, task: Task) -> _Raw:
    """Let the task derive its columns from what was read."""
    prepare = task.prepare
    if prepare is None:
        return raw

    def of(records: list[Record]) -> list[Record]:
        return [Record(record.where, prepare(record.values)) for record in records]

    more = {name: of(records) for name, records in raw.more_tests.items()}
    return replace(raw, train=of(raw.train), test=of(raw.test), more_tests=more)


def split(data: TaskData, seed: int = 0, selection_share: float = SELECTION_SHARE) -> Splits:
    """Divide the training rows into search-train, search-valid and selection.

    Selection gets ``selection_share`` of the rows (a tenth by default), but at least 200 or a
    quarter of them, whichever is less. The rest is divided 70 : 30. Every part has the same
    mixture of labels, rows with the same text stay together, and each part comes in a seeded
    random order, so that any first rows of it are a random sample.

    Raises:
        ConfigError: There are too few different rows to fill every part.
    """
    rows = data.train
    selection = max(round(selection_share * len(rows)), min(SELECTION_FLOOR, len(rows) // 4))
    valid = round(SEARCH_VALID_FRACTION * (len(rows) - selection))
    parts = divide(rows, data.task.shape, (selection, valid), seed)
    if not all(parts):
        raise ConfigError(
            f'the task "{data.task.name}" has {len(rows)} training rows, too few different ones '
            "to divide into search-train, search-valid and selection.",
            "Give more rows: --data DIR, or a larger train_rows.",
        )
    named = dict(zip(("selection", "search-valid", "search-train"), parts, strict=True))
    notices = tuple(missing_labels(named, data.task.shape))
    return Splits(parts[2], parts[1], parts[0], data.test, data.more_tests, notices)


def _read(source: Source, task: Task) -> _Raw:
    if isinstance(source, Folder):
        return _read_folder(source.path, task)
    if isinstance(source, Builtin):
        train, test = (
            [Record(f"{task.name} {name} row {i}", row) for i, row in enumerate(rows, 1)]
            for name, rows in (
                (source.train, source.function(source.train)),
                (source.test, source.function(source.test)),
            )
        )
        return _Raw(train, test, source.test)
    from peftsearch.hub import load_rows

    splits = {
        name: [Record(f"{source.path} {name} row {i}", row) for i, row in enumerate(rows, 1)]
        for name, rows in load_rows(source).items()
    }
    more = {name: splits[name] for name in source.more_tests}
    # QQP really holds a few empty questions: published data is taken as it is.
    return _Raw(splits[source.train], splits[source.test], source.test, more, empty_text=True)


def _read_folder(folder: Path, task: Task) -> _Raw:
    tables = Tables(folder)
    known = task.source if isinstance(task.source, Hub) else None
    names = ["validation"] if known is None else ["validation", known.test]
    records = tables.read("train")
    if "test" in tables:
        test = tables.read("test")
        if not labels_are_hidden(test, task.label_column):
            return _Raw(records, test, "test")
    test = tables.read(*names)
    more = {} if known is None else {n: tables.read(n) for n in known.more_tests if n in tables}
    return _Raw(records, test, "validation", more)


def _fingerprint(train: list[Row], test: list[Row], more: Mapping[str, list[Row]]) -> str:
    digest = hashlib.sha256()
    for name, rows in (("train", train), ("test", test), *more.items()):
        digest.update(f"{name} {len(rows)}\n".encode())
        for row in rows:
            digest.update(_canonical(row))
    return digest.hexdigest()


def _canonical(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, sort_keys=True, ensure_ascii=True, default=str).encode() + b"\n"
