"""Rows from files: every format, labels as ids or names, and errors with file and line."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from peftsearch.errors import ConfigError, MissingError
from peftsearch.tasks import Row, Task, get, load
from peftsearch.tasks.tables import SUFFIXES

# A separator that JSON allows inside a line, quotes, tabs' neighbour, and "NA".
ROWS: list[Row] = [
    {"sentence1": 'He said "hi".', "sentence2": "A, b", "label": 0},
    {"sentence1": "Line\u2028separator", "sentence2": "NA", "label": 1},
    {"sentence1": "»Größe«", "sentence2": '"quoted" start', "label": 1},
]


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if name.endswith(".jsonl"):
        path.write_text(lines, encoding="utf-8")
    elif name.endswith(".gz"):
        path.write_bytes(gzip.compress(lines.encode()))
    elif name.endswith(".parquet"):
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            mark = "\t" if name.endswith(".tsv") else ","
            writer = csv.DictWriter(file, list(rows[0]), delimiter=mark)
            writer.writeheader()
            writer.writerows(rows)
    return path


def problem(folder: Path, task: Task | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(task or get("rte"), folder)
    return caught.value


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, f"train{suffix}", ROWS)
    write(tmp_path, f"validation{suffix}", ROWS[:2])
    data = load(get("rte"), tmp_path)
    assert data.train == ROWS
    assert data.test == ROWS[:2]
    assert data.test_name == "validation"


def test_a_tsv_without_quoting_is_read_as_it_is(tmp_path: Path) -> None:
    text = 'sentence1\tsentence2\tlabel\n"A" b\tc "d"\t0\ne "f\tg\tnot_entailment\n'
    for name in ("train.tsv", "validation.tsv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
    rows = load(get("rte"), tmp_path).train
    assert rows[0] == {"sentence1": '"A" b', "sentence2": 'c "d"', "label": 0}
    assert rows[1] == {"sentence1": 'e "f', "sentence2": "g", "label": 1}


@pytest.mark.parametrize("label", [1, "1", 1.0, "1.0", "not_entailment", " not_entailment "])
def test_labels_are_ids_or_names(tmp_path: Path, label: object) -> None:
    write(tmp_path, "train.jsonl", [{**ROWS[0], "label": label}])
    write(tmp_path, "validation.jsonl", ROWS)
    assert load(get("rte"), tmp_path).train[0]["label"] == 1


def test_names_that_are_numbers_win_over_ids(tmp_path: Path) -> None:
    stars = Task("stars", "", "classification", ("text",), labels=("1", "2", "3"))
    rows = [{"text": "x", "label": 1}, {"text": "y", "label": "3"}]
    write(tmp_path, "train.jsonl", rows)
    write(tmp_path, "validation.jsonl", rows)
    assert [row["label"] for row in load(stars, tmp_path).train] == [0, 2]
    write(tmp_path, "train.jsonl", [{"text": "x", "label": 0}])
    assert "the label 0 is not known" in problem(tmp_path, stars).message


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"sentence1": "", "sentence2": "b", "label": 0}, '"sentence1" is empty'),
        ({"sentence1": "a", "sentence2": None, "label": 0}, '"sentence2" is missing'),
        ({"sentence1": "a", "label": 0}, '"sentence2" is missing'),
        ({"sentence1": 5, "sentence2": "b", "label": 0}, '"sentence1" is 5, not a text'),
        ({"sentence1": "a", "sentence2": "b", "label": 2}, "the label 2 is not known"),
        ({"sentence1": "a", "sentence2": "b", "label": 0.5}, "the label 0.5 is not known"),
        ({"sentence1": "a", "sentence2": "b", "label": -1}, "the label -1 is not known"),
        ({"sentence1": "a", "sentence2": "b", "label": True}, "the label True is not known"),
        ({"sentence1": "a", "sentence2": "b", "label": "yes"}, "the label 'yes' is not known"),
        ({"sentence1": "a", "sentence2": "b"}, '"label" is missing'),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, row: Row, words: str) -> None:
    path = write(tmp_path, "train.jsonl", [ROWS[0], row])
    write(tmp_path, "validation.jsonl", ROWS)
    error = problem(tmp_path)
    assert error.exit_code == 2
    assert f"{path} line 2: {words}" in error.message


def test_all_wrong_rows_of_all_files_are_collected(tmp_path: Path) -> None:
    write(tmp_path, "train.csv", [{**ROWS[0], "label": 9}] * 13)
    write(tmp_path, "validation.parquet", [ROWS[0], {**ROWS[0], "sentence1": " "}])
    message = problem(tmp_path).message
    assert message.startswith("12 problems")
    assert "train.csv line 2" in message
    assert "3 more wrong rows" in message
    assert "validation.parquet row 2" in message


def test_lines_that_cannot_be_parsed_are_named(tmp_path: Path) -> None:
    write(tmp_path, "validation.jsonl", ROWS)
    (tmp_path / "train.jsonl").write_text('{"sentence1"\n\n[1]\n{"a": 1}\n', encoding="utf-8")
    message = problem(tmp_path).message
    assert "train.jsonl line 1: not JSON" in message
    assert "train.jsonl line 3: not a JSON object but '[1]'" in message
    (tmp_path / "train.jsonl").unlink()
    (tmp_path / "train.csv").write_text("sentence1,label\na,0\nb\n", encoding="utf-8")
    assert "train.csv line 3: 1 field, but the header has 2" in problem(tmp_path).message


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("train.jsonl", b"\xff\xfe", "not UTF-8"),
        ("train.jsonl", b"", "holds no row"),
        ("train.csv", b"sentence1,sentence2,label\n", "holds no row"),
        ("train.csv", b'sentence1,label\n"a" b,0\n', "line 2: not parsable"),
        ("train.jsonl.gz", b"plain", "damaged gzip"),
        ("train.jsonl.gz", gzip.compress(b"{}" * 99, mtime=0)[:-20] + b"\xff" * 20, "damaged gzip"),
        ("train.parquet", b"plain", "not a parquet file"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    write(tmp_path, "validation.jsonl", ROWS)
    (tmp_path / name).write_bytes(content)
    message = problem(tmp_path).message
    assert name in message
    assert words in message


def test_a_mistyped_column_is_answered_once(tmp_path: Path) -> None:
    write(tmp_path, "train.jsonl", [{"sentence_1": "a", "sentence2": "b", "label": 0}] * 3)
    write(tmp_path, "validation.jsonl", ROWS)
    error = problem(tmp_path)
    assert error.message.endswith('there is no column "sentence1".')
    assert error.hint == 'Did you mean "sentence_1"?'


def test_a_missing_folder_or_file_is_exit_3(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="there is no folder"):
        load(get("rte"), tmp_path / "nowhere")
    write(tmp_path, "train.jsonl", ROWS)
    with pytest.raises(MissingError, match='no file "validation"') as caught:
        load(get("rte"), tmp_path)
    assert caught.value.exit_code == 3


def test_two_files_for_one_split_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "train.jsonl", ROWS)
    write(tmp_path, "train.csv", ROWS)
    assert "two files" in problem(tmp_path).message


def test_a_test_file_is_the_test_unless_its_labels_are_hidden(tmp_path: Path) -> None:
    write(tmp_path, "train.jsonl", ROWS)
    write(tmp_path, "validation.jsonl", ROWS[:1])
    write(tmp_path, "test.jsonl", ROWS[1:])
    data = load(get("rte"), tmp_path)
    assert (data.test, data.test_name) == (ROWS[1:], "test")
    write(tmp_path, "test.jsonl", [{**row, "label": -1} for row in ROWS])
    data = load(get("rte"), tmp_path)
    assert (data.test, data.test_name) == (ROWS[:1], "validation")


def test_mnli_reads_the_mismatched_set_beside_the_matched_one(tmp_path: Path) -> None:
    rows = [{"premise": f"p{i}", "hypothesis": "h", "label": i} for i in range(3)]
    write(tmp_path, "train.jsonl", rows)
    write(tmp_path, "validation_matched.jsonl", rows[:2])
    write(tmp_path, "validation_mismatched.jsonl", rows[1:])
    data = load(get("mnli"), tmp_path)
    assert data.test == rows[:2]
    assert data.more_tests == {"validation_mismatched": rows[1:]}


def test_numbers_are_checked(tmp_path: Path) -> None:
    row = {"sentence1": "a", "sentence2": "b"}
    write(tmp_path, "train.jsonl", [{**row, "label": "3.5"}, {**row, "label": "high"}])
    write(tmp_path, "validation.jsonl", [{**row, "label": 2}])
    assert "line 2: \"label\" is 'high', not a number" in problem(tmp_path, get("stsb")).message
