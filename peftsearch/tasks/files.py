"""A task written by the user as a short YAML file.

Place in the flow: ``--task my.yaml``. Reads that file, not the rows. Torch-free.

    name: trec
    columns: [text]
    labels: [abbreviation, entity, description, human, location, number]
    data: ./trec              # folder beside this file; or {path: ID, config: NAME, …} of the Hub

Every other key has a default: ``kind`` classification, ``label_column`` label, ``label_words``
the labels, ``template`` "name column: {column} …" as T5 writes it, ``metrics`` accuracy (for
regression pearson and spearman, for generation edit_similarity and exact_match), ``max_length``
128. For generation ``label_column`` holds the text to write; ``max_target_length`` (64) and
``target_tokenizer`` (the model's own) are about it. The kinds ``language-modelling`` and ``chat``
learn one column itself, ``text`` or ``messages``; ``image-classification`` reads the column
``image``, ``image-text-retrieval`` the columns ``image`` and ``text``, ``speech-recognition`` the
column ``audio``. ``format`` is ``auto``, ``text`` or ``head``, see
:mod:`peftsearch.formats.choosing`. docs/tasks.md has every key and kind. All problems are reported
together.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from peftsearch.errors import ConfigError
from peftsearch.nearest import did_you_mean
from peftsearch.tasks.base import (
    FORMATS,
    KINDS,
    LONGEST_TRANSCRIPT,
    SCORINGS,
    Folder,
    Hub,
    Source,
    Task,
)
from peftsearch.tasks.metrics import DEFAULTS, FITTING, LOWER_IS_BETTER, METRICS
from peftsearch.tasks.shapes import HOLDS, OF_LABELS

_KEYS = (
    "name",
    "description",
    "kind",
    "columns",
    "label_column",
    "labels",
    "label_words",
    "template",
    "metrics",
    "max_length",
    "max_target_length",
    "target_tokenizer",
    "format",
    "choices",
    "placeholder",
    "group",
    "scoring",
    "unanswerable",
    "stride",
    "language",
    "data",
)
#: Kinds whose rows are one column that is learned itself, and what it is called.
_WHOLE = {"language-modelling": "text", "chat": "messages"}
_NOT_OF_WHOLE = ("label_column", "template")
#: What the columns are called where a task does not name them.
_NAMED = {**{kind: (name,) for kind, name in _WHOLE.items()}, **HOLDS}
#: Keys that have a meaning for some kinds only.
_ONLY = {
    "max_target_length": ("generation", "extraction", "speech-recognition"),
    "target_tokenizer": ("generation", "extraction"),
    "choices": ("choice",),
    "placeholder": ("choice",),
    "group": ("classification",),
    "scoring": ("classification", "regression", "choice"),
    "unanswerable": ("extraction",),
    "stride": ("extraction",),
    "language": ("speech-recognition",),
}
#: Kinds of which the last column is what is learned.
_LEARNED = (*_WHOLE, "image-text-retrieval")
#: How many columns a kind may have; of the others any number, of which encoders join all but one.
_COLUMNS = {"tagging": 1, "extraction": 2, **{kind: len(names) for kind, names in HOLDS.items()}}
_HUB_KEYS = ("path", "config", "train", "test", "more_tests", "revision", "data_dir")


def read_task(path: Path) -> Task:
    """Read a task file.

    Raises:
        ConfigError: The file is absent, not YAML or not a task; all problems at once.
    """
    reader = _Reader(path, _read_mapping(path))
    task = reader.task()
    if reader.problems:
        raise ConfigError.collected(reader.problems)
    return task


def _read_mapping(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f'the task file "{path}" does not exist.', "Check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}).") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML ({' '.join(str(error).split())}).") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: not a task but {content!r:.40}.", f"Keys: {', '.join(_KEYS)}.")
    return content


class _Reader:
    """Takes values out of the mapping, checks each, and collects what is wrong."""

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        self.path = path
        self.content = content
        self.problems: list[ConfigError] = []

    def task(self) -> Task:
        self.unknown(self.content, _KEYS, "")
        name = self.text(self.content, "name", self.path.stem) or self.path.stem
        kind = self.text(self.content, "kind", "classification") or "classification"
        if kind not in KINDS:
            self.wrong(f'kind "{kind}" is not known', did_you_mean(kind, KINDS))
            kind = "classification"
        for key, kinds in _ONLY.items():
            if key in self.content and kind not in kinds:
                self.wrong(f"{key} has no meaning for {kind}", f"Remove {key}.")
        columns, choices = self.columns(kind), self.choices(kind)
        if kind in _WHOLE:
            self.whole(kind, columns)
        elif kind in HOLDS:
            self.without(kind, _NOT_OF_WHOLE if kind in _LEARNED else ("template",))
        labels = self.labels(kind)
        words = self.label_words(kind, labels, choices)
        shown = (*choices, *columns)
        default = " ".join([name, *(f"{column}: {{{column}}}" for column in shown)])
        template = self.text(self.content, "template", default) or default
        if kind in _NAMED:
            template = ""
        elif columns:
            self.check_template(template, shown)
        longest = LONGEST_TRANSCRIPT if kind == "speech-recognition" else 64
        return Task(
            name=name,
            description=self.text(self.content, "description", f"from {self.path.name}") or "",
            kind=kind,
            columns=columns,
            label_column=self.label_column(kind, columns),
            labels=labels,
            label_words=words,
            template=template,
            metrics=self.metrics(kind, labels, choices),
            max_length=self.tokens("max_length", 384 if kind == "extraction" else 128, least=8),
            max_target_length=self.tokens("max_target_length", longest, least=2),
            target_tokenizer=self.target_tokenizer(),
            source=self.source(),
            format=self.format(),
            choices=choices,
            placeholder=self.text(self.content, "placeholder", "") or "",
            group=self.texts("group", ()),
            scoring=self.scoring(),
            unanswerable=self.content.get("unanswerable") is True,
            stride=self.tokens("stride", 64, least=0),
            language=self.text(self.content, "language", "") or "",
        )

    def whole(self, kind: str, columns: tuple[str, ...]) -> None:
        """Check a task whose one column is learned itself."""
        if len(columns) != 1:
            self.wrong(f"columns has {len(columns)} names, and {kind} learns one column")
        self.without(kind, _NOT_OF_WHOLE)

    def without(self, kind: str, keys: Sequence[str]) -> None:
        """Refuse keys that have no meaning for a kind."""
        for key in keys:
            if key in self.content:
                self.wrong(f"{key} has no meaning for {kind}", f"Remove {key}.")

    def label_column(self, kind: str, columns: tuple[str, ...]) -> str:
        if kind in _LEARNED:
            return columns[-1] if columns else _NAMED[kind][-1]
        return self.text(self.content, "label_column", "label") or "label"

    def format(self) -> str:
        name = self.text(self.content, "format", "auto") or "auto"
        if name not in FORMATS:
            self.wrong(f'format "{name}" is not known', did_you_mean(name, FORMATS))
            return "auto"
        return name

    def columns(self, kind: str) -> tuple[str, ...]:
        columns = self.texts("columns", _NAMED.get(kind, ()))
        wanted = _COLUMNS.get(kind)
        if kind in _WHOLE:
            return columns
        if "columns" not in self.content and kind not in HOLDS:
            self.wrong("columns is missing", "Name the text columns: columns: [text].")
        elif columns and wanted is not None and len(columns) != wanted:
            hint = {
                "tagging": "the column with the words",
                "extraction": "question and text, in this order",
            }
            given = hint.get(kind, f"one for each of: {', '.join(HOLDS.get(kind, ()))}")
            self.wrong(f"columns has {len(columns)} names", f"Give {given}.")
        return columns

    def choices(self, kind: str) -> tuple[str, ...]:
        found = self.texts("choices", ())
        if kind == "choice" and "choices" not in self.content:
            self.wrong(
                "choices is missing",
                "Name the columns with one choice each, or the one that holds the list.",
            )
        return found

    def scoring(self) -> str:
        found = self.text(self.content, "scoring", SCORINGS[0]) or SCORINGS[0]
        if found not in SCORINGS:
            self.wrong(f'scoring "{found}" is not known', f"Use {' or '.join(SCORINGS)}.")
        return found

    def wrong(self, message: str, hint: str = "") -> None:
        self.problems.append(ConfigError(f"{self.path}: {message}.", hint))

    def unknown(self, content: Mapping[Any, Any], known: Sequence[str], prefix: str) -> None:
        for key in content:
            if key not in known:
                self.wrong(f'unknown key "{prefix}{key}"', did_you_mean(str(key), known))

    def text(self, content: Mapping[str, Any], key: str, default: str | None) -> str | None:
        value = content.get(key)
        if value is None:
            return default
        if isinstance(value, str) and value.strip():
            return value
        self.wrong(f"{key} is {value!r}, not a text", "Write it in quotes.")
        return default

    def texts(self, key: str, default: tuple[str, ...], numbers: bool = False) -> tuple[str, ...]:
        """Read a list of different texts; YAML's own booleans (yes, no) are named as a trap."""
        if self.content.get(key) is None:
            return default
        value = self.content[key]
        if not isinstance(value, list) or not value:
            self.wrong(f"{key} is {value!r}, not a list of texts", f"Write {key}: [a, b].")
            return default
        right: list[str] = []
        for entry in value:
            number = isinstance(entry, int | float) and not isinstance(entry, bool)
            if isinstance(entry, str) and entry.strip():
                right.append(entry)
            elif numbers and number:
                right.append(str(entry))
            else:
                self.wrong(f"{key} holds {entry!r}, not a text", "Write it in quotes.")
        if len(set(right)) < len(right):
            self.wrong(f"{key} names something twice: {', '.join(right)}")
        return tuple(right)

    def labels(self, kind: str) -> tuple[str, ...]:
        labels = self.texts("labels", (), numbers=True)
        if kind not in (*OF_LABELS, "tagging"):
            if "labels" in self.content:
                self.wrong(f"labels have no meaning for {kind}", "Remove labels.")
            return ()
        if "labels" not in self.content:
            self.wrong("labels is missing", "Name them in the order of their ids: labels: [a, b].")
        elif len(labels) == 1:
            self.wrong("labels has one name", "Give at least two.")
        return labels

    def label_words(
        self, kind: str, labels: tuple[str, ...], choices: tuple[str, ...]
    ) -> tuple[str, ...]:
        # A model that writes the name of a choice needs not write the choice.
        default = choices if kind == "choice" and len(choices) > 1 else labels
        words = self.texts("label_words", default, numbers=True)
        wordless = ("generation", "tagging", "extraction", *_NAMED)
        if kind in HOLDS and "label_words" not in self.content:
            return ()
        if kind in wordless and "label_words" in self.content:
            self.wrong(f"label_words have no meaning for {kind}", "Remove label_words.")
        elif kind == "choice" and words and len(words) != len(choices):
            self.wrong(
                f"label_words has {len(words)} entries for {len(choices)} choices",
                "Give one for each column of choices; none where one column holds the list.",
            )
        elif kind == "regression":
            for word in words:
                try:
                    float(word)
                except ValueError:
                    self.wrong(f'label_words holds "{word}", but regression answers numbers')
        elif "label_words" in self.content and "labels" in self.content:
            if len(words) != len(labels):
                self.wrong(
                    f"label_words has {len(words)} entries for {len(labels)} labels",
                    "Give one for each label, in the same order.",
                )
        return words

    def check_template(self, template: str, columns: tuple[str, ...]) -> None:
        try:
            parts = list(string.Formatter().parse(template))
        except ValueError as error:
            self.wrong(f'template "{template}" is not a format text ({error})')
            return
        fields = [name for _, name, _, _ in parts if name is not None]
        for name in fields:
            if name not in columns:
                hint = did_you_mean(name, columns)
                self.wrong(f'template asks for "{{{name}}}", which is no column', hint)
        for column in columns:
            if set(column) & set(".[]{}:!"):
                self.wrong(f'column "{column}" cannot stand in a template', "Rename the column.")
            elif column not in fields:
                self.wrong(f'template does not use "{{{column}}}"', "The model would not see it.")

    def metrics(
        self, kind: str, labels: tuple[str, ...], choices: tuple[str, ...]
    ) -> tuple[str, ...]:
        # Of a list of choices the right one is given as a text.
        texts = kind == "choice" and len(choices) == 1
        names = self.texts("metrics", DEFAULTS["extraction" if texts else kind])
        fitting = FITTING[kind]
        for name in names:
            if name not in METRICS:
                self.wrong(f'metric "{name}" is not known', did_you_mean(name, METRICS))
            elif name not in fitting:
                self.wrong(f'metric "{name}" is not for {kind}', f"Use {', '.join(fitting)}.")
            elif name == "group_exact_match" and "group" not in self.content:
                self.wrong(f'metric "{name}" needs groups', "Name their columns: group: [id].")
            elif name == "f1" and len(labels) > 2:
                self.wrong(f'metric "f1" is for two labels, not {len(labels)}', "Use macro_f1.")
        if names and names[0] in LOWER_IS_BETTER:
            first = f"metrics: [{LOWER_IS_BETTER[names[0]]}, {names[0]}]"
            self.wrong(f'the first metric decides, and "{names[0]}" is better lower', first)
        return names

    def tokens(self, key: str, default: int, least: int) -> int:
        value = self.content.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and value >= least:
            return value
        self.wrong(f"{key} is {value!r}", f"Give a number of tokens, at least {least}.")
        return default

    def target_tokenizer(self) -> str | None:
        """Read the place; a folder beside the task file is meant from there."""
        name = self.text(self.content, "target_tokenizer", None)
        beside = self.path.parent / Path(name or "").expanduser()
        return str(beside) if name and beside.is_dir() else name

    def source(self) -> Source | None:
        value = self.content.get("data")
        if value is None:
            return None
        if isinstance(value, str):
            return Folder(self.path.parent / Path(value).expanduser())
        if not isinstance(value, dict):
            self.wrong(f"data is {value!r}", "Give a folder, or {path: ID, config: NAME}.")
            return None
        self.unknown(value, _HUB_KEYS, "data.")
        path = self.text(value, "path", None)
        if path is None:
            if value.get("path") is None:
                self.wrong("data.path is missing", "Give the id of a data set of the Hub.")
            return None
        more = value.get("more_tests") or []
        if not isinstance(more, list) or not all(isinstance(name, str) for name in more):
            self.wrong(f"data.more_tests is {more!r}", "Give a list of split names.")
            more = []
        return Hub(
            path=path,
            config=self.text(value, "config", None),
            train=self.text(value, "train", "train") or "train",
            test=self.text(value, "test", "validation") or "validation",
            more_tests=tuple(more),
            revision=self.text(value, "revision", None),
            data_dir=self.text(value, "data_dir", None),
        )
