"""Everything that can be wrong with rows: refused with the row's number, or counted and said."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from peftsearch.errors import ConfigError
from peftsearch.tasks import Row, Task, TaskData, get, load, split
from peftsearch.tasks.splitting import divide, pick

TASK = Task("toy", "", "classification", ("text",), labels=("a", "b", "c"))


def folder_of(tmp_path: Path, **splits: list[dict[str, Any]]) -> Path:
    for name, rows in splits.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def plain(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [{"text": f"row {i}", "label": i % 3} for i in range(start, start + count)]


def loaded(tmp_path: Path, task: Task = TASK, **splits: list[dict[str, Any]]) -> TaskData:
    rows = {"train": plain(30), "validation": plain(9, 100), **splits}
    return load(task, folder_of(tmp_path, **rows))


def notices(data: TaskData) -> str:
    assert data.counts is not None
    return "\n".join(data.counts.notices)


def refused(tmp_path: Path, task: Task = TASK, **splits: list[dict[str, Any]]) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, task, **splits)
    assert caught.value.exit_code == 2
    return f"{caught.value.message} {caught.value.hint}"


def test_good_rows_are_counted_and_nothing_is_said(tmp_path: Path) -> None:
    data = loaded(tmp_path)
    assert data.counts is not None
    assert data.counts.notices == ()
    assert data.counts.rows == {"train": 30, "validation": 9}
    assert data.counts.labels["train"] == {"a": 10, "b": 10, "c": 10}
    assert data.counts.to_json()["seen_in_training"] == {"validation": 0}


# --- refused ---


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"text": "x", "label": None}, 'line 2: "label" is missing'),
        ({"text": "x"}, 'line 2: "label" is missing'),
        ({"text": "x", "label": ""}, 'line 2: "label" is missing'),
        ({"text": "  ", "label": 0}, 'line 2: "text" is empty'),
        ({"text": None, "label": 0}, 'line 2: "text" is missing'),
        ({"text": 7, "label": 0}, 'line 2: "text" is 7, not a text'),
        ({"text": "x", "label": "d"}, "the label 'd' is not known"),
        ({"text": "x", "label": 3}, "the label 3 is not known"),
        ({"text": "x", "label": -1}, "the label -1 is not known"),
    ],
)
@pytest.mark.parametrize("where", ["train", "validation"])
def test_a_wrong_row_is_named(row: dict[str, Any], words: str, where: str, tmp_path: Path) -> None:
    rows = [*plain(1), row, *plain(30, 1)]
    found = refused(tmp_path, **{where: rows})
    assert words in found
    assert f"{where}.jsonl line 2" in found


@pytest.mark.parametrize(
    ("task", "row", "words"),
    [
        ("tagging", {"words": ["a", "b"], "tags": ["O"]}, "has 1 tags for 2 words"),
        ("tagging", {"words": ["a"], "tags": ["Z"]}, "the tags 'Z' is not known"),
        ("tagging", {"words": ["a", ""], "tags": ["O", "O"]}, "entry 2 of \"words\" is ''"),
        ("tagging", {"words": [], "tags": []}, '"words" is empty'),
        ("tagging", {"words": 3, "tags": []}, "is 3, not a list of texts"),
        ("choice", {"text": "x", "one": "a", "two": "b", "label": 2}, "from 0 to 1"),
        ("choice", {"text": "x", "one": "a", "two": "b", "label": True}, "is True"),
        ("choice", {"text": "x", "one": "a", "two": "", "label": 0}, '"two" is empty'),
        ("pick", {"text": "x", "all": ["a", "b"], "label": ["a", "c"]}, "is no choice"),
        ("pick", {"text": "x", "all": [], "label": ["a"]}, '"all" is empty'),
        ("answers", {"q": "x", "c": "a b", "label": "z"}, 'answer "z" does not stand in "c"'),
        ("answers", {"q": "x", "c": "a b", "label": []}, "unanswerable: true"),
        (
            "answers",
            {"q": "x", "c": "a b", "label": {"text": ["b"], "answer_start": [0]}},
            'does not stand in "c" at character 0',
        ),
        ("answers", {"q": "x", "c": "a b", "label": 4}, "is 4, not answers"),
        ("writing", {"text": "x", "label": ["a", ""]}, 'entry 2 of "label"'),
        ("writing", {"text": "x", "label": " "}, '"label" is empty'),
    ],
)
def test_a_wrong_answer_is_named(
    task: str, row: dict[str, Any], words: str, tmp_path: Path
) -> None:
    tasks = {
        "tagging": Task("t", "", "tagging", ("words",), "tags", ("O", "B")),
        "choice": Task("t", "", "choice", ("text",), choices=("one", "two")),
        "pick": Task("t", "", "choice", ("text",), choices=("all",)),
        "answers": Task("t", "", "extraction", ("q", "c")),
        "writing": Task("t", "", "generation", ("text",)),
    }
    found = refused(tmp_path, tasks[task], train=[row])
    assert words in found
    assert "train.jsonl line 1" in found


def test_answers_in_each_form_that_is_known(tmp_path: Path) -> None:
    task = Task("t", "", "extraction", ("q", "c"), unanswerable=True)
    forms: list[Any] = [{"text": ["b"], "answer_start": [2]}, {"text": ["b"]}, ["b"], "b"]
    rows = [{"q": "x", "c": "a b", "label": form} for form in forms]
    empty = [{"q": "x", "c": "a b", "label": form} for form in ({"text": []}, [], "")]
    data = loaded(tmp_path, task, train=rows, validation=empty)
    assert [row["label"] for row in data.train] == [{"text": ["b"], "answer_start": [2]}] * 4
    assert [row["label"] for row in data.test] == [{"text": [], "answer_start": []}] * 3


def test_lists_in_files_without_lists(tmp_path: Path) -> None:
    task = Task("t", "", "tagging", ("words",), "tags", ("O", "B"))
    row = {"words": "a b c", "tags": "O B O"}
    data = loaded(tmp_path, task, train=[row], validation=[{**row, "tags": [0, 1, 0]}])
    assert data.train == data.test == [{"words": ["a", "b", "c"], "tags": [0, 1, 0]}]


# --- said ---


def test_uneven_labels(tmp_path: Path) -> None:
    rows = [{"text": f"row {i}", "label": int(i < 3) + 2 * int(i == 5)} for i in range(40)]
    said = notices(loaded(tmp_path, train=rows))
    assert "The labels are uneven: 36 a, 1 c." in said
    assert "macro_f1" in said


def test_labels_that_only_a_test_has(tmp_path: Path) -> None:
    rows = [{"text": f"row {i}", "label": i % 2} for i in range(30)]
    said = notices(loaded(tmp_path, train=rows))
    assert 'The label "c" has no training row.' in said
    assert '3 validation rows have the label "c", which is never trained on' in said
    assert "validation.jsonl line 2" in said  # row 101


def test_rows_of_training_in_a_test(tmp_path: Path) -> None:
    said = notices(loaded(tmp_path, validation=[*plain(5, 100), *plain(2, 7)]))
    assert "2 of 7 validation rows are training rows too" in said
    assert "validation.jsonl line 6" in said


def test_rows_that_repeat(tmp_path: Path) -> None:
    rows = [*plain(30), {"text": "row 0", "label": 0}, {"text": "row 1", "label": 0}]
    data = loaded(tmp_path, train=rows)
    said = notices(data)
    assert "2 training rows repeat the texts of an earlier one" in said
    assert "train.jsonl line 31" in said
    assert "1 of them have another label than the earlier one" in said
    assert "train.jsonl line 32" in said
    assert len(data.train) == 32  # nothing is dropped


def test_the_counts_are_of_the_rows_that_are_used(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, train=plain(30), validation=plain(9, 100))
    data = load(TASK, folder, train_rows=9, test_rows=3)
    assert data.counts is not None
    assert data.counts.labels == {
        "train": {"a": 3, "b": 3, "c": 3},
        "validation": {"a": 1, "b": 1, "c": 1},
    }


# --- dividing ---


def rare(count: int) -> list[Row]:
    """Return 300 rows of a and b, and some of c."""
    many = [{"text": f"row {i}", "label": i % 2} for i in range(300)]
    return many + [{"text": f"rare {i}", "label": 2} for i in range(count)]


@pytest.mark.parametrize("seed", range(5))
def test_a_label_with_rows_for_every_part_is_in_every_part(seed: int) -> None:
    data = TaskData(TASK, rare(3), [], "", "test")
    found = split(data, seed)
    parts = (found.search_train, found.search_valid, found.selection)
    assert all(any(row["label"] == 2 for row in part) for part in parts)
    assert found.notices == ()


@pytest.mark.parametrize("count", [1, 2])
def test_a_label_with_fewer_rows_is_named(count: int) -> None:
    data = TaskData(TASK, rare(count), [], "", "test")
    (notice,) = split(data).notices
    assert 'No row of the label "c" is in' in notice
    assert f"{count} training row" in notice


def test_what_is_asked_for_is_what_is_given() -> None:
    parts = divide(rare(3), TASK.shape, (60, 70), 0)
    assert [len(part) for part in parts] == [60, 70, 173]


def test_groups_are_neither_divided_nor_drawn_in_part() -> None:
    task = get("multirc")
    rows = [
        {"paragraph": "p", "question": f"q{i // 4}", "answer": f"a{i}", "label": i % 2}
        for i in range(400)
    ]
    for part in divide(rows, task.shape, (100, 100), 0):
        assert set(Counter(row["question"] for row in part).values()) == {4}
    drawn = pick(rows, task.shape, 42, 0, "test")
    assert len(drawn) == 40
    assert set(Counter(row["question"] for row in drawn).values()) == {4}
    assert drawn == [row for row in rows if row in drawn]
