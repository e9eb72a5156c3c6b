"""Choices, labels that are written, and answers, for encoder-decoders."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from peftsearch.errors import ConfigError
from peftsearch.formats import (
    ChoiceLikelihood,
    Generation,
    LabelGeneration,
    TextToText,
    make_format,
)
from peftsearch.tasks import Row, Task, get
from peftsearch.tasks.answers import Grouped, Texts
from tests.unit.formats.test_encoder_formats import COPA, EXTRACTION, RECORD
from tests.unit.formats.test_formats import ROWS, t5

WRITTEN = replace(get("rte"), scoring="generation")
QUESTIONS = replace(EXTRACTION, template="q: {question} c: {context}", max_length=64)


def test_choices_with_words_and_without() -> None:
    tokenizer, model = t5()
    assert isinstance(make_format(get("copa"), tokenizer, model.config), TextToText)
    assert isinstance(make_format(get("record"), tokenizer, model.config), ChoiceLikelihood)
    assert isinstance(make_format(WRITTEN, tokenizer, model.config), LabelGeneration)


def test_a_choice_is_put_to_a_model_with_all_its_texts() -> None:
    tokenizer, model = t5()
    form = make_format(get("copa"), tokenizer, model.config)
    features = form.features(COPA)
    prompt = tokenizer.decode(features[0].inputs["input_ids"], skip_special_tokens=True)
    assert prompt == "copa choice1: d choice2: e f premise: a b c question: cause"
    assert tokenizer.decode(features[0].target[:-1]) == "choice2"
    assert [feature.reference for feature in features] == [1.0, 0.0]


def test_the_likelihood_of_each_choice_one_by_one() -> None:
    tokenizer, model = t5()
    task = get("record")
    form = make_format(task, tokenizer, model.config)
    features = form.features(RECORD)
    batch = form.collate(features)
    scores = form.scores(model, batch)
    wanted, best, right = [], [], []
    for row, feature in zip(RECORD, features, strict=True):
        each = []
        for entity in row["entities"]:
            labels = torch.tensor([tokenizer(entity)["input_ids"]])
            with torch.no_grad():
                out = model(torch.tensor([feature.inputs["input_ids"]]), labels=labels)
            each.append(float(-out.loss) * labels.shape[1])
        wanted += each
        best.append(row["entities"][each.index(max(each))])
        right.append(tokenizer(row["answers"][0])["input_ids"])
    torch.testing.assert_close(scores, torch.tensor(wanted), rtol=1e-4, atol=1e-4)
    assert form.predict(model, batch) == best
    assert form.assess(model, batch)[0] == best
    assert [feature.target for feature in features] == right
    assert features[0].reference == Texts(("x", "z"))
    torch.testing.assert_close(
        form.loss(model, batch),
        model(
            batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"]
        ).loss,
    )


def test_scoring_in_pieces_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from peftsearch.formats import choice_likelihood

    tokenizer, model = t5()
    form = make_format(get("record"), tokenizer, model.config)
    batch = form.collate(form.features(RECORD))
    whole = form.scores(model, batch)
    monkeypatch.setattr(choice_likelihood, "_AT_ONCE", 2)
    torch.testing.assert_close(form.scores(model, batch), whole)


# --- labels that are written ---


def writing(model: Any, tokenizer: Any, *texts: str) -> None:
    """Let a model write these texts, whatever it reads."""
    ids = [tokenizer(text)["input_ids"] for text in texts]
    longest = max(map(len, ids))
    rows = torch.tensor([[0, *row, *[0] * (longest - len(row))] for row in ids])
    model.generate = lambda **given: rows


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("entailment", 0.0),
        ("not_entailment", 1.0),
        ("not", -1.0),
        ("", -1.0),
        ("entailments", -1.0),
    ],
)
def test_what_is_no_label_word_is_no_label(text: str, label: float) -> None:
    tokenizer, model = t5()
    form = make_format(WRITTEN, tokenizer, model.config)
    writing(model, tokenizer, text)
    batch = form.collate(form.features(ROWS[:1]))
    assert form.predict(model, batch) == [label]


@pytest.mark.parametrize(
    ("text", "number"), [("3.4", 3.4), ("3.5", 3.5), ("far", -1.0), ("5.0", 5.0)]
)
def test_numbers_that_are_written(text: str, number: float) -> None:
    tokenizer, model = t5()
    task = replace(get("stsb"), scoring="generation")
    form = make_format(task, tokenizer, model.config)
    writing(model, tokenizer, text)
    batch = form.collate(form.features([{**ROWS[0], "label": 3.5}]))
    assert form.predict(model, batch) == [number]


def test_writing_is_trained_as_scoring_is() -> None:
    tokenizer, model = t5()
    forms = [make_format(task, tokenizer, model.config) for task in (get("rte"), WRITTEN)]
    losses = [form.loss(model, form.collate(form.features(ROWS))) for form in forms]
    torch.testing.assert_close(*losses)
    said, loss = forms[1].assess(model, forms[1].collate(forms[1].features(ROWS)))
    assert loss == pytest.approx(float(losses[0].detach()))
    assert set(said) <= {-1.0, 0.0, 1.0}


def test_labels_in_groups_keep_their_group() -> None:
    tokenizer, model = t5()
    row: Row = {"paragraph": "p", "question": "q", "answer": "a", "label": 1}
    form = make_format(get("multirc"), tokenizer, model.config)
    (feature,) = form.features([row])
    assert feature.reference == Grouped(1.0, ("p", "q"))


# --- answers ---


def test_an_answer_is_written() -> None:
    tokenizer, model = t5()
    form = make_format(QUESTIONS, tokenizer, model.config)
    assert isinstance(form, Generation)
    rows: list[Row] = [
        {"question": "w", "context": "a b", "answers": {"text": ["b", "a b"], "answer_start": [2]}},
        {"question": "w", "context": "a b", "answers": {"text": [], "answer_start": []}},
    ]
    task = replace(QUESTIONS, max_target_length=20)
    form = make_format(task, tokenizer, model.config)
    features = form.features(rows)
    texts = [tokenizer.decode(feature.target[:-1]) for feature in features]
    assert texts == ["b", "unanswerable"]
    assert [feature.reference for feature in features] == [Texts(("b", "a b")), Texts(())]
    writing(model, tokenizer, "b", "unanswerable")
    assert form.predict(model, form.collate(features)) == ["b", ""]


def test_the_first_of_several_right_texts_is_trained_on() -> None:
    tokenizer, model = t5()
    task = Task("w", "", "generation", ("text",), "say", template="{text}", metrics=("bleu",))
    form = make_format(task, tokenizer, model.config)
    (feature,) = form.features([{"text": "a", "say": ["b c", "d"]}])
    assert tokenizer.decode(feature.target[:-1]) == "b c"
    assert feature.reference == Texts(("b c", "d"))


# --- label words ---


class Coded:
    """A tokenizer that writes the language behind the end token, as mBART's does."""

    def __init__(self, tokenizer: Any) -> None:
        self.inner = tokenizer
        self.eos_token_id = tokenizer.eos_token_id
        self.model_max_length = 512

    def __call__(self, text: Any, **options: Any) -> Any:
        ids = self.inner(text, **options)["input_ids"]
        if isinstance(text, str):
            return {"input_ids": [*ids, 9]}
        return {"input_ids": [[*row, 9] for row in ids]}


def test_a_language_behind_the_end_is_no_part_of_a_label_word() -> None:
    tokenizer, model = t5()
    plain = make_format(get("rte"), tokenizer, model.config)
    coded = make_format(get("rte"), Coded(tokenizer), model.config)
    assert [f.target for f in coded.features(ROWS)] == [f.target for f in plain.features(ROWS)]


@pytest.mark.parametrize("scoring", ["likelihood", "generation"])
def test_words_that_tokenise_alike_are_refused(scoring: str) -> None:
    tokenizer, model = t5()
    task = replace(get("rte"), label_words=("é", "ü"), scoring=scoring)  # both unknown
    with pytest.raises(ConfigError, match="have the same tokens") as caught:
        make_format(task, tokenizer, model.config)
    assert "label_words" in caught.value.hint
