"""Choices, tags and spans for encoders, against the model's own losses and plain loops."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from peftsearch.errors import ConfigError
from peftsearch.formats import (
    MultipleChoice,
    QuestionAnswering,
    TokenClassification,
    make_format,
)
from peftsearch.formats.question_answering import best_spans, span_of
from peftsearch.formats.token_classification import first_tokens
from peftsearch.tasks import Row, Task, get
from peftsearch.tasks.answers import Texts
from tests.unit.formats.test_formats import bert as classifier

COPA: list[Row] = [
    {"premise": "a b c", "question": "cause", "choice1": "d", "choice2": "e f", "label": 1},
    {"premise": "x", "question": "effect", "choice1": "y z q", "choice2": "w", "label": 0},
]
RECORD: list[Row] = [
    {"passage": "a b", "query": "c @placeholder d", "entities": ["x", "y", "z"],
     "answers": ["x", "z"]},
    {"passage": "a", "query": "@placeholder", "entities": ["q", "w"], "answers": ["w"]},
]  # fmt: skip
TAGGING = Task("tags", "", "tagging", ("words",), "tags", ("O", "B-X", "I-X"))
TAGGED: list[Row] = [
    {"words": ["a", "bcd", "e"], "tags": [0, 1, 2]},
    {"words": ["xy", "z"], "tags": [1, 0]},
]
EXTRACTION = Task(
    "find", "", "extraction", ("question", "context"), "answers", max_length=16, stride=3,
    max_target_length=4, unanswerable=True,
)  # fmt: skip
TEXT = "a b c d e f g h i j k l m n o p q r s t"
ASKED: list[Row] = [
    {"question": "w x", "context": TEXT, "answers": {"text": ["k l"], "answer_start": [20]}},
    {"question": "w", "context": "a b c", "answers": {"text": [], "answer_start": []}},
]


def bert(kind: str, outputs: int) -> tuple[Any, Any]:
    """Return a tokenizer and a small model whose scores differ."""
    from transformers import BertForQuestionAnswering, BertForTokenClassification

    tokenizer, model = classifier(outputs=outputs)
    if kind != "choice":
        cls = {"tagging": BertForTokenClassification, "extraction": BertForQuestionAnswering}[kind]
        model = cls(model.config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return tokenizer, model


# --- choice ---


def test_a_choice_is_scored_by_one_logit_each() -> None:
    """As ``AutoModelForMultipleChoice`` does: one by one, then a softmax over the choices."""
    tokenizer, model = bert("choice", 1)
    task = get("copa")
    form = make_format(task, tokenizer, model.config)
    assert isinstance(form, MultipleChoice)
    features = form.features(COPA)
    batch = form.collate(features)
    losses, best = [], []
    for row in COPA:
        context = f"{row['premise']} {row['question']}"
        pairs = [tokenizer(context, row[name], return_tensors="pt") for name in task.choices]
        with torch.no_grad():
            logits = torch.cat([model(**pair).logits[0] for pair in pairs])
        losses.append(-logits.log_softmax(0)[row["label"]])
        best.append(float(logits.argmax()))
    loss = form.loss(model, batch)
    torch.testing.assert_close(loss, torch.stack(losses).mean())
    said, mean = form.assess(model, batch)
    assert said == form.predict(model, batch) == best
    assert mean == pytest.approx(float(loss.detach()))
    assert [f.reference for f in features] == [1.0, 0.0]
    loss.backward()


def test_choices_of_different_number_with_several_right_ones() -> None:
    tokenizer, model = bert("choice", 1)
    form = make_format(get("record"), tokenizer, model.config)
    batch = form.collate(form.features(RECORD))
    losses, best = [], []
    for row in RECORD:
        filled = [row["query"].replace("@placeholder", e) for e in row["entities"]]
        with torch.no_grad():
            logits = torch.cat(
                [
                    model(**tokenizer(row["passage"], f, return_tensors="pt")).logits[0]
                    for f in filled
                ]
            )
        right = torch.tensor([e in row["answers"] for e in row["entities"]])
        losses.append(-logits.softmax(0)[right].sum().log())
        best.append(row["entities"][int(logits.argmax())])
    torch.testing.assert_close(form.loss(model, batch), torch.stack(losses).mean())
    assert form.predict(model, batch) == best
    assert form.features(RECORD)[0].reference == Texts(("x", "z"))


def test_a_row_with_a_choice_that_was_cut_counts_once() -> None:
    tokenizer, model = bert("choice", 1)
    form = make_format(get("copa"), tokenizer, model.config)
    long = {**COPA[0], "choice1": "a " * 60, "choice2": "b " * 60}
    (feature,) = form.features([long])
    assert form.truncated == 1
    assert [len(part["input_ids"]) for part in feature.parts] == [40, 40]


def test_a_model_gone_wrong_is_noticed() -> None:
    tokenizer, model = bert("choice", 1)
    form = make_format(get("copa"), tokenizer, model.config)
    torch.nn.init.constant_(model.classifier.weight, float("nan"))
    said = form.predict(model, form.collate(form.features(COPA)))
    assert all(answer != answer for answer in said)


# --- tags ---


def test_the_loss_of_tags_is_the_model_s_own() -> None:
    tokenizer, model = bert("tagging", 3)
    form = make_format(TAGGING, tokenizer, model.config)
    assert isinstance(form, TokenClassification)
    assert form.num_labels == 3
    batch = form.collate(form.features(TAGGED))
    labels = torch.full(batch["input_ids"].shape, -100)
    for i, row in enumerate(TAGGED):
        # Each letter is a token: the first of a word stands behind all letters before it.
        place = 1
        for word, tag in zip(row["words"], row["tags"], strict=True):
            labels[i, place] = tag
            place += len(word)
    own = ("word_tokens", "word_labels")
    inputs = {k: v for k, v in batch.items() if k not in own}
    wanted = model(**inputs, labels=labels)
    torch.testing.assert_close(form.loss(model, batch), wanted.loss)
    best = wanted.logits.argmax(-1)
    said = [tuple(TAGGING.labels[best[i, j]] for j in range(99) if j < labels.shape[1]
                  and labels[i, j] >= 0) for i in range(2)]  # fmt: skip
    assert form.predict(model, batch) == said
    assert form.assess(model, batch)[0] == said
    form.loss(model, batch).backward()


def test_words_beyond_the_longest_input_are_counted() -> None:
    tokenizer, model = bert("tagging", 3)
    form = make_format(TAGGING, tokenizer, model.config)
    long: Row = {"words": ["abc"] * 20, "tags": [0] * 20}
    (feature,) = form.features([long])
    assert form.truncated == 1
    assert len(feature.reference) == 20  # type: ignore[arg-type]
    (said,) = form.predict(model, form.collate([feature]))
    assert len(said) == 13  # 38 letters: the thirteenth word has two


@given(st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=6), st.data())
def test_first_tokens_against_a_search(words: list[str], data: Any) -> None:
    """Tokens of one or more characters, with or without the blank before them."""
    text = " ".join(words)
    offsets: list[tuple[int, int]] = []
    place = 0
    while place < len(text):
        blank = text[place] == " "
        skip = blank and data.draw(st.booleans())
        begin = place + skip
        rest = text[place + blank :].split(" ")[0]
        end = place + blank + data.draw(st.integers(1, len(rest)))
        offsets.append((begin, end))
        place = end
    starts = [sum(len(w) + 1 for w in words[:i]) for i in range(len(words))]
    wanted = [
        next(t for t, (_, end) in enumerate(offsets) if start < end <= start + len(word))
        for start, word in zip(starts, words, strict=True)
    ]
    assert first_tokens(words, offsets) == wanted


def test_a_word_without_a_token_takes_the_one_before() -> None:
    assert first_tokens(["ab", "?", "cd"], [(0, 2), (5, 7)]) == [0, 0, 1]


# --- spans ---


def test_windows_cover_the_whole_text_and_overlap() -> None:
    tokenizer, model = bert("extraction", 2)
    form = make_format(EXTRACTION, tokenizer, model.config)
    assert isinstance(form, QuestionAnswering)
    (feature,) = form.features(ASKED[:1])
    assert form.truncated == 0
    seen = [[TEXT[a:b] for a, b in window.offsets if a >= 0] for window in feature.windows]
    assert len(seen) > 1
    assert all(left[-3:] == right[:3] for left, right in itertools.pairwise(seen))
    assert set(TEXT.split()) == {letter for window in seen for letter in window}
    for window, letters in zip(feature.windows, seen, strict=True):
        first, last = window.span
        if "k" in letters and "l" in letters:
            assert TEXT[window.offsets[first][0] : window.offsets[last][1]] == "k l"
        else:
            assert (first, last) == (0, 0)
    assert any(window.span != (0, 0) for window in feature.windows)


def test_the_loss_of_spans_is_the_model_s_own() -> None:
    tokenizer, model = bert("extraction", 2)
    form = make_format(EXTRACTION, tokenizer, model.config)
    (feature,) = form.features(ASKED[:1])
    # Windows of one length: the model's own loss takes padding for a place of the answer.
    batch = form.collate([replace(feature, windows=feature.windows[:2])])
    own = ("offsets", "owners", "row_numbers", "starts", "ends")
    inputs = {k: v for k, v in batch.items() if k not in own}
    wanted = model(**inputs, start_positions=batch["starts"], end_positions=batch["ends"]).loss
    loss = form.loss(model, batch)
    torch.testing.assert_close(loss, wanted)
    loss.backward()


@pytest.mark.parametrize("unanswerable", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_the_answer_is_the_best_span_of_all_windows(seed: int, unanswerable: bool) -> None:
    from dataclasses import replace

    tokenizer, model = bert("extraction", 2)
    torch.manual_seed(seed)
    torch.nn.init.normal_(model.qa_outputs.weight)
    task = replace(EXTRACTION, unanswerable=unanswerable)
    form = make_format(task, tokenizer, model.config)
    features = form.features(ASKED)
    wanted = []
    for row, feature in zip(ASKED, features, strict=True):
        spans: list[tuple[float, str]] = []
        empty = []
        for window in feature.windows:
            inputs = {name: torch.tensor([ids]) for name, ids in window.inputs.items()}
            with torch.no_grad():
                out = model(**inputs)
            begins, ends = out.start_logits[0].tolist(), out.end_logits[0].tolist()
            empty.append(begins[0] + ends[0])
            for i, (a, _) in enumerate(window.offsets):
                for j, (_, b) in enumerate(window.offsets):
                    if a >= 0 and b >= 0 and i <= j < i + task.max_target_length:
                        spans.append((begins[i] + ends[j], row["context"][a:b]))
        score, text = max(spans)
        wanted.append("" if unanswerable and min(empty) > score else text)
    batch = form.collate(features)
    assert form.predict(model, batch) == wanted
    assert form.assess(model, batch)[0] == wanted


def test_a_question_that_leaves_no_room_is_cut_and_counted() -> None:
    tokenizer, model = bert("extraction", 2)
    form = make_format(EXTRACTION, tokenizer, model.config)
    (feature,) = form.features([{**ASKED[0], "question": "q " * 30}])
    assert form.truncated == 1
    letters = {TEXT[a:b] for w in feature.windows for a, b in w.offsets if a >= 0}
    assert letters == set(TEXT.split())


@pytest.mark.parametrize(
    ("answer", "span"),
    [
        (None, (0, 0)),
        ((2, 5), (2, 3)),  # from the second token of the text to the third
        ((3, 4), (2, 2)),  # within a token: the whole token
        ((0, 5), (0, 0)),  # begins before the window
        ((5, 9), (0, 0)),  # ends behind it
    ],
)
def test_span_of(answer: tuple[int, int] | None, span: tuple[int, int]) -> None:
    assert span_of(answer, [(-1, -1), (1, 2), (2, 4), (4, 6), (-1, -1)]) == span


def test_best_spans_against_a_loop() -> None:
    begins, ends = torch.randn(2, 7), torch.randn(2, 7)
    allowed = torch.tensor([[0, 1, 1, 1, 1, 1, 0]] * 2, dtype=torch.bool)
    best, first, last = best_spans(begins, ends, allowed, 2)
    for w in range(2):
        wanted = max(
            (float(begins[w, i] + ends[w, j]), i, j)
            for i in range(1, 6)
            for j in (i, i + 1)
            if j < 6
        )
        assert (float(best[w]), int(first[w]), int(last[w])) == wanted


# --- what does not fit ---


@pytest.mark.parametrize("task", [TAGGING, EXTRACTION], ids=["tagging", "extraction"])
def test_a_tokenizer_without_places_is_refused(task: Task) -> None:
    model = bert(task.kind, 2)[1]

    class Slow:
        is_fast = False

    with pytest.raises(ConfigError, match="needs to know where each token stands"):
        make_format(task, Slow(), model.config)
