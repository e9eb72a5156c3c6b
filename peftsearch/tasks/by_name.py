"""Tasks that are not registered: a data set of the Hub by its id, or a kind and a folder of files.

Place in the flow: between the name that was typed and :mod:`peftsearch.tasks.inference`. Reads the
data set or the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from peftsearch.errors import ConfigError, MissingError
from peftsearch.tasks.base import KINDS, LIKELIHOOD_KINDS, Folder, Hub, Task
from peftsearch.tasks.inference import Column, Wishes, columns_of, infer
from peftsearch.tasks.tables import Tables

PREFIX = "hf:"
#: Kinds that can be given in place of a task; those of whole texts are tasks by themselves.
FROM_FILES = tuple(kind for kind in KINDS if kind not in LIKELIHOOD_KINDS)
_TESTS = ("validation", "test")


def is_by_name(name: str) -> bool:
    """Whether a name stands for a data set of the Hub, or for a kind of task."""
    return name.startswith(PREFIX) or name in FROM_FILES


def from_hub(name: str, wishes: Wishes) -> Task:
    """Make the task of ``hf:owner/name`` or ``hf:owner/name:config``.

    Raises:
        ConfigError: What it says about itself does not suffice.
        MissingError: It is not there, or cannot be reached.
    """
    path, _, config = name.removeprefix(PREFIX).partition(":")
    if not path or path.startswith(("/", ".")):
        raise ConfigError(f'the task "{name}" names no data set.', "Write hf:owner/name.")
    from peftsearch.hub import load_rows
    from peftsearch.hub.features import load_features

    splits, features = load_features(path, config or None, wishes.train_split)
    test = wishes.test_split or next((n for n in _TESTS if n in splits), None)
    if test is None:
        raise MissingError(
            f'The data set "{path}" has no split for a test; it has: {", ".join(splits)}.',
            "Give one: --set dataset.test_split=NAME, or files of your own: --data DIR.",
        )
    source = Hub(path, config or None, wishes.train_split or "train", test)
    columns = {column: _described(feature) for column, feature in features.items()}
    rows = load_rows(source)[source.train]
    return infer(name, source, columns, rows, wishes)


def from_folder(kind: str, folder: Path | None, wishes: Wishes) -> Task:
    """Make a task of a kind, with columns and labels as files have them.

    Raises:
        ConfigError: There is no folder, or what it says does not suffice.
        MissingError: The folder is not there, or has no training rows.
    """
    if folder is None:
        raise ConfigError(
            f'the task "{kind}" is only a kind: it needs rows.', "Give a folder: --data DIR."
        )
    rows = [record.values for record in Tables(folder).read("train")]
    given = wishes.kind or kind
    if given != kind:
        raise ConfigError(f"--task {kind} and --kind {given} differ.", "Leave out one of them.")
    return infer(kind, Folder(folder), columns_of(rows), rows, _with_kind(wishes, kind))


def _with_kind(wishes: Wishes, kind: str) -> Wishes:
    return replace(wishes, kind=kind)


def _described(feature: Any) -> Column:
    """Read one column as ``datasets`` describes it."""
    if isinstance(feature, Mapping) and feature.get("_type") in ("List", "Sequence", "LargeList"):
        inner = feature["feature"]
        if isinstance(inner, Mapping) and "_type" not in inner:
            return Column("answers" if "text" in inner else "other")
        column = _described(inner)
        types = {"text": "texts", "label": "labels", "integer": "labels"}
        return Column(types.get(column.type, "other"), column.names)
    if not isinstance(feature, Mapping) or "_type" not in feature:
        return Column("answers" if isinstance(feature, Mapping) and "text" in feature else "other")
    if feature["_type"] == "ClassLabel":
        return Column("label", tuple(feature["names"]))
    if feature["_type"] in ("Image", "Audio"):
        return Column(feature["_type"].lower())
    dtype = str(feature.get("dtype", ""))
    if feature["_type"] != "Value":
        return Column("other")
    if "string" in dtype:
        return Column("text")
    if dtype == "bool":
        return Column("boolean")
    return Column(
        "number" if dtype.startswith("float") else "integer" if "int" in dtype else "other"
    )
