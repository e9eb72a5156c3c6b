"""Tasks made of what rows say about themselves, and of frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas
import pytest

from peftsearch.errors import ConfigError
from peftsearch.frames import brought
from peftsearch.tasks import Task, Wishes, all_tasks, get, load
from peftsearch.tasks.by_name import _described
from peftsearch.tasks.files import read_task
from peftsearch.tasks.inference import Column, columns_of
from peftsearch.tasks.writing import write_task


def folder_of(tmp_path: Path, rows: list[dict[str, Any]]) -> Path:
    for name in ("train", "validation"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "row", "columns", "labels"),
    [
        ("classification", {"text": "x", "label": "good"}, ("text",), ("bad", "good")),
        ("classification", {"a": "x", "b": "y", "label": True}, ("a", "b"), ("False", "True")),
        ("classification", {"text": "x", "label": 10}, ("text",), ("2", "10")),
        ("regression", {"text": "x", "label": 10}, ("text",), ()),
        ("generation", {"text": "x", "summary": "good"}, ("text",), ()),
        ("tagging", {"words": ["x"], "tags": ["O"]}, ("words",), ("B", "O")),
        ("extraction", {"context": "x", "question": "q", "answers": {"text": ["x"]}},
         ("question", "context"), ()),
    ],
)  # fmt: skip
def test_a_kind_and_a_folder(
    kind: str, row: dict[str, Any], columns: tuple[str, ...], labels: tuple[str, ...],
    tmp_path: Path,
) -> None:  # fmt: skip
    others: dict[Any, Any] = {"good": "bad", True: False, 10: 2}
    other = {k: others.get(v, v) if isinstance(v, str | int) else v for k, v in row.items()}
    if kind == "tagging":
        other["tags"] = ["B"]
    folder = folder_of(tmp_path, [row, other])
    task = get(kind, folder=folder)
    assert (task.kind, task.columns, task.labels) == (kind, columns, labels)
    data = load(task, folder)
    if labels:
        right = data.train[0][task.label_column]
        first = right[0] if isinstance(right, list) else right
        assert labels[first] == str(list(row.values())[-1]).strip("[]'")


@pytest.mark.parametrize(
    ("kind", "row", "wishes", "message", "hint"),
    [
        ("classification", {"a": "x", "b": "y"}, {}, "not clear which column has", "--label"),
        ("classification", {"a": "x", "label": 1}, {"text_columns": ("b",)}, 'no column "b"', ""),
        ("classification", {"a": "x", "b": "x", "c": "x", "label": 1}, {}, "columns are read",
         "--text-columns"),
        ("classification", {"a": "x", "label": 1}, {}, "has 1 different values", "--kind"),
        ("extraction", {"a": "x", "b": "y", "answers": {"text": []}}, {}, "columns are read",
         "--text-columns"),
        ("choice", {"a": "x", "label": 1}, {}, "is not one of", "task file"),
        ("tagging", {"a": "x", "label": ["O"]}, {}, "columns are read", "--text-columns"),
        ("regression", {"a": "x", "label": 1.0}, {"kind": "tagging"}, "differ", "Leave out"),
    ],
)  # fmt: skip
def test_what_does_not_suffice(
    kind: str, row: dict[str, Any], wishes: dict[str, Any], message: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        get(kind, Wishes(**wishes), folder_of(tmp_path, [row]))
    assert hint in caught.value.hint


def test_a_kind_without_rows_and_wishes_without_a_use() -> None:
    with pytest.raises(ConfigError, match="it needs rows"):
        get("classification")
    with pytest.raises(ConfigError, match='"rte" has its columns already'):
        get("rte", Wishes(kind="regression"))
    with pytest.raises(ConfigError, match="names no data set"):
        get("hf:")


def test_types_by_values() -> None:
    rows = [
        {"a": 1, "b": 1, "c": "x", "d": [1], "e": ["x"], "f": {"text": []}, "g": None, "h": True},
        {"a": 2, "b": 2.5, "c": None, "d": [], "e": [], "f": {"text": []}, "h": False},
    ]
    assert {name: column.type for name, column in columns_of(rows).items()} == {
        "a": "integer", "b": "number", "c": "text", "d": "labels", "e": "texts", "f": "answers",
        "g": "other", "h": "boolean",
    }  # fmt: skip


def test_types_as_datasets_describes_them() -> None:
    from datasets import ClassLabel, Features, Sequence, Value

    tag = ClassLabel(names=["O", "B"])
    features = Features(
        a=Value("string"), b=Value("large_string"), c=ClassLabel(names=["x", "y"]),
        d=Value("int32"), e=Value("float64"), f=Value("bool"), g=Sequence(Value("string")),
        h=Sequence(tag), i=Sequence({"text": Value("string"), "answer_start": Value("int32")}),
        j={"text": [Value("string")]}, k=Value("timestamp[s]"), l=[Value("int64")],
    )  # fmt: skip
    found = {name: _described(each) for name, each in features.to_dict().items()}
    assert found == {
        "a": Column("text"), "b": Column("text"), "c": Column("label", ("x", "y")),
        "d": Column("integer"), "e": Column("number"), "f": Column("boolean"),
        "g": Column("texts"), "h": Column("labels", ("O", "B")), "i": Column("answers"),
        "j": Column("answers"), "k": Column("other"), "l": Column("labels"),
    }  # fmt: skip


# --- tasks as files, and frames ---


@pytest.mark.parametrize("name", sorted(all_tasks()))
def test_a_task_and_its_file_say_the_same(name: str, tmp_path: Path) -> None:
    from dataclasses import replace

    task = replace(get(name), source=None, prepare=None)
    write_task(task, tmp_path / "task.yaml")
    assert read_task(tmp_path / "task.yaml") == task


def test_a_task_with_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="prepares its rows with a function"):
        write_task(get("wic"), tmp_path / "task.yaml")


FRAME = pandas.DataFrame({"text": ["a", "b"], "label": [0, 1]})


def test_frames_are_kept_as_they_are(tmp_path: Path) -> None:
    frame = FRAME.assign(label=pandas.Categorical(["good", "bad"]), text=["a", "b"])
    frame.index = pandas.Index([7, 9])
    brought(None, {"train": frame, "validation": FRAME.assign(label=["bad", "good"])}).write(
        tmp_path
    )
    task = get("classification", folder=tmp_path / "data")
    data = load(task, tmp_path / "data")
    assert data.train == [{"text": "a", "label": 1}, {"text": "b", "label": 0}]
    assert task.labels == ("bad", "good")


def test_a_missing_label_of_a_frame_is_named_by_its_row(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"text": ["a", "b", "c"], "label": [0.0, None, 1.0]})
    brought(None, {"train": frame, "validation": FRAME}).write(tmp_path)
    task = Task("t", "", "classification", ("text",), labels=("no", "yes"))
    with pytest.raises(ConfigError, match=r'data\["train"\] row 2: "label" is') as caught:
        load(task, tmp_path / "data")
    assert "row 1" not in caught.value.message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"train": FRAME}, "has the splits train"),
        ({}, "has the splits none"),
        ({"train": [{"text": "a"}], "test": FRAME}, 'data\\["train"\\] is a list'),
        ({"train": FRAME[:0], "test": FRAME}, "holds no row"),
    ],
)
def test_what_is_no_frame(data: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        brought(None, data)


def test_a_frame_of_mixed_types(tmp_path: Path) -> None:
    mixed = pandas.DataFrame({"text": ["a", 1], "label": [0, 1]})
    with pytest.raises(ConfigError, match="cannot be written") as caught:
        brought(None, {"train": mixed, "test": FRAME}).write(tmp_path)
    assert "one type" in caught.value.hint
