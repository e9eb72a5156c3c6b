"""SuperGLUE: wording, marks, and rows in the form of the Hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from peftsearch.tasks import get, load
from peftsearch.tasks.answers import Grouped, Texts
from peftsearch.tasks.superglue import TASKS, marked_pronoun, marked_word, plain_passage

#: One row of each task with the columns of the Hub, and the prompt that a T5 gets.
ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "boolq": (
        {"question": "is it", "passage": "It is.", "idx": 0, "label": 1},
        "boolq question: is it passage: It is.",
    ),
    "cb": (
        {"premise": "P.", "hypothesis": "H.", "idx": 0, "label": 2},
        "cb hypothesis: H. premise: P.",
    ),
    "copa": (
        {"premise": "P.", "choice1": "A.", "choice2": "B.", "question": "cause", "idx": 0,
         "label": 1},
        "copa choice1: A. choice2: B. premise: P. question: cause",
    ),
    "multirc": (
        {"paragraph": "P.", "question": "Q?", "answer": "A", "label": 0,
         "idx": {"paragraph": 0, "question": 0, "answer": 0}},
        "multirc question: Q? answer: A paragraph: P.",
    ),
    "record": (
        {"passage": "Anna left\n@highlight\nBoris stayed", "query": "@placeholder left",
         "entities": ["Anna", "Boris", "Anna"], "answers": ["Anna"],
         "idx": {"passage": 0, "query": 0},
         "entity_spans": {"text": ["Anna"], "start": [0], "end": [4]}},
        "record query: @placeholder left entities: Anna, Boris passage: Anna left. Boris stayed",
    ),
    "superglue-rte": (
        {"premise": "P.", "hypothesis": "H.", "idx": 0, "label": 0},
        "rte sentence1: P. sentence2: H.",
    ),
    "wic": (
        {"word": "bank", "sentence1": "The bank of a river", "sentence2": "Banks closed",
         "start1": 4, "start2": 0, "end1": 8, "end2": 5, "idx": 0, "label": 0},
        "wic sentence1: The *bank* of a river sentence2: *Banks* closed word: bank",
    ),
    "wsc": (
        {"text": "Mark told Pete many lies about himself , which Pete included . He laughed",
         "span1_index": 0, "span2_index": 12, "span1_text": "Mark", "span2_text": "He", "idx": 0,
         "label": 0},
        "wsc text: *Mark* told Pete many lies about himself , which Pete included . #He# laughed",
    ),
}  # fmt: skip


def test_all_eight_are_here() -> None:
    assert {task.name for task in TASKS} == set(ROWS)
    assert len(ROWS) == 8


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_the_hub(name: str, tmp_path: Path) -> None:
    values, prompt = ROWS[name]
    for split in ("train", "validation"):
        (tmp_path / f"{split}.jsonl").write_text(json.dumps(values) + "\n")
    task = get(name)
    (row,) = load(task, tmp_path).train
    assert task.template.format(**task.fields(row)) == prompt
    label = row[task.label_column]
    wanted: dict[str, Any] = {
        "record": Texts(("Anna",)),
        "multirc": Grouped(0.0, ("P.", "Q?")),
    }
    assert task.reference(row) == wanted.get(name, float(label) if name != "record" else None)
    if name in ("boolq", "multirc", "wic", "wsc"):  # as SuperGLUE's own files write them
        for split in ("train", "validation"):
            text = json.dumps({**values, "label": bool(values["label"])}) + "\n"
            (tmp_path / f"{split}.jsonl").write_text(text)
        assert load(task, tmp_path).train == [row]


def test_official_metrics() -> None:
    """Table 1 of the paper."""
    metrics = {task.name: task.metrics for task in TASKS}
    assert metrics == {
        "boolq": ("accuracy",),
        "cb": ("macro_f1", "accuracy"),
        "copa": ("accuracy",),
        "multirc": ("f1", "group_exact_match"),
        "record": ("squad_f1", "squad_exact_match"),
        "superglue-rte": ("accuracy",),
        "wic": ("accuracy",),
        "wsc": ("accuracy",),
    }


def test_a_marked_phrase_of_several_words() -> None:
    values = {"text": "The old man said he left", "span1_index": 0, "span1_text": "The old man",
              "span2_index": 4, "span2_text": "he"}  # fmt: skip
    assert marked_pronoun(values)["text"] == "*The old man* said #he# left"


@pytest.mark.parametrize("change", [{"span1_index": None}, {"span2_index": 99}, {"text": 3}])
def test_what_cannot_be_marked_is_left_as_it_is(change: dict[str, Any]) -> None:
    values = {**ROWS["wsc"][0], **change}
    assert marked_pronoun(values) == values
    bare = {"word": "x", "sentence1": "x y", "sentence2": "z x"}
    assert marked_word(bare) == bare


def test_highlights_of_a_passage_become_sentences() -> None:
    text = 'It is.\n@highlight\nHe said "no"\n@highlight\nShe left\n@highlight\nDone'
    found = plain_passage({"passage": text})["passage"]
    assert found == 'It is. He said "no" She left. Done'
