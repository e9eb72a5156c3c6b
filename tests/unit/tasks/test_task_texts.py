"""Texts and conversations of a user's own: files, checks, splits and their scores."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from peftsearch.errors import ConfigError
from peftsearch.tasks import get, load, read_task, score, split
from peftsearch.tasks.base import Folder

USER = {"role": "user", "content": "hi"}
SAID = {"role": "assistant", "content": "hello"}


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_blank_lines_stand_between_texts(tmp_path: Path) -> None:
    write(tmp_path, "train.txt", "\n\none\r\n  two \n \nthree\n\n\n\nfour")
    write(tmp_path, "validation.txt", "five\n")
    data = load(get("language-modelling"), tmp_path)
    assert [row["text"] for row in data.train] == ["one\n  two ", "three", "four"]
    assert data.test == [{"text": "five"}]


def test_a_file_without_a_text_and_a_column_without_one(tmp_path: Path) -> None:
    write(tmp_path, "train.txt", "\n \n")
    write(tmp_path, "validation.txt", "five\n")
    with pytest.raises(ConfigError, match=r"train\.txt: holds no row"):
        load(get("language-modelling"), tmp_path)
    (tmp_path / "train.txt").unlink()
    write(tmp_path, "train.jsonl", '{"text": "a"}\n{"text": " "}\n')
    with pytest.raises(ConfigError, match=r'line 2: "text" is empty'):
        load(get("language-modelling"), tmp_path)


def test_texts_are_divided_without_repeating_one(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"text {number % 30}"}) for number in range(60)]
    write(tmp_path, "train.jsonl", "\n".join(lines))
    write(tmp_path, "validation.jsonl", lines[0])
    parts = split(load(get("language-modelling"), tmp_path))
    texts = [{row["text"] for row in rows} for rows in
             (parts.search_train, parts.search_valid, parts.selection)]  # fmt: skip
    assert all(texts)
    assert sum(map(len, texts)) == 30


def conversations(folder: Path, *messages: Any) -> Path:
    lines = "\n".join(json.dumps({"messages": each}) for each in messages)
    write(folder, "train.jsonl", lines)
    write(folder, "validation.jsonl", json.dumps({"messages": [USER, SAID]}))
    return folder


def test_conversations_are_read(tmp_path: Path) -> None:
    more = [{**USER, "name": "x"}, SAID, USER, SAID]
    data = load(get("chat"), conversations(tmp_path, [USER, SAID], more))
    assert [json.loads(row["messages"]) for row in data.train] == [[USER, SAID], [USER, SAID] * 2]


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "not a list of messages"),
        ("hello", "not a list of messages"),
        ([USER], "the assistant says nothing"),
        ([USER, "hello"], "message 2 is 'hello', not an object"),
        ([{"role": "bot", "content": "x"}], "message 1 has the role 'bot'"),
        ([USER, {**SAID, "content": " "}], "message 2 has the content ' ', not a text"),
        ([USER, {"role": "assistant"}], "message 2 has the content None"),
    ],
)
def test_what_is_no_conversation_is_named(tmp_path: Path, messages: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=r"train\.jsonl line 2") as caught:
        load(get("chat"), conversations(tmp_path, [USER, SAID], messages))
    assert said in caught.value.message


def test_scores_weigh_rows_by_their_tokens() -> None:
    found = score(("log_likelihood", "perplexity"), [1.0, 3.0], [-2.0, -1.0])
    assert found["log_likelihood"] == pytest.approx(-5 / 4)
    assert found["perplexity"] == pytest.approx(math.exp(5 / 4))
    assert score(("perplexity",), [1.0], [-1e4]) == {"perplexity": math.inf}


def test_a_task_file_of_texts(tmp_path: Path) -> None:
    path = write(tmp_path, "t.yaml", "{kind: language-modelling, columns: [body], data: .}")
    task = read_task(path)
    assert (task.columns, task.label_column, task.template) == (("body",), "body", "")
    assert task.metrics == ("log_likelihood", "perplexity")
    assert task.source == Folder(tmp_path)
    assert read_task(write(tmp_path, "c.yaml", "kind: chat")).columns == ("messages",)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("metrics: [perplexity]", 'the first metric decides, and "perplexity" is better lower'),
        ("template: 'x {text}'", "template has no meaning for language-modelling"),
        ("label_column: y", "label_column has no meaning"),
        ("columns: [a, b]", "learns one column"),
        ("labels: [a, b]", "labels have no meaning"),
        ("label_words: [a, b]", "label_words have no meaning"),
        ("metrics: [accuracy]", 'metric "accuracy" is not for language-modelling'),
        ("format: haed", 'format "haed" is not known'),
    ],
)
def test_keys_that_have_no_meaning_for_texts(tmp_path: Path, line: str, said: str) -> None:
    path = write(tmp_path, "t.yaml", f"kind: language-modelling\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        read_task(path)
    assert said in str(caught.value)
