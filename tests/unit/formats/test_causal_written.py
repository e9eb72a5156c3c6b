"""Labels that decoders write, and choices that they compare, against plain loops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from peftsearch.errors import ConfigError
from peftsearch.formats import (
    CausalChoices,
    CausalGeneration,
    CausalLabelGeneration,
    CausalLabels,
    make_format,
)
from peftsearch.tasks import Row, get
from tests.unit.formats.decoder_material import byte_tokenizer, decoder, word_tokenizer
from tests.unit.formats.test_causal import ROWS, mean_loss
from tests.unit.formats.test_decoding import CACHED, adapted, alone
from tests.unit.formats.test_encoder_formats import COPA, EXTRACTION, RECORD

WRITTEN = replace(get("rte"), scoring="generation")
NUMBERS = replace(get("stsb"), scoring="generation")
WORDS = "rte sentence1: sentence2: answer: entailment not_entailment a b c d x y z q long tail"
ENTITIES = [{**RECORD[0], "entities": ["xyz", "y", "zz"], "answers": ["zz"]}, RECORD[1]]


def test_what_is_asked_for_is_what_is_made() -> None:
    tokenizer, config = byte_tokenizer(), decoder().config
    copa = replace(get("copa"), scoring="generation")
    made = [
        make_format(task, tokenizer, config)
        for task in (get("record"), WRITTEN, NUMBERS, copa, get("copa"))
    ]
    assert [type(each) for each in made] == [
        CausalChoices,
        CausalLabelGeneration,
        CausalLabelGeneration,
        CausalLabelGeneration,
        CausalLabels,
    ]


# --- choices that are listed ---


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_likelihood_of_each_choice_one_by_one(family: str) -> None:
    tokenizer, model = byte_tokenizer(), decoder(family, max_position_embeddings=128)
    form = make_format(get("record"), tokenizer, model.config)
    assert isinstance(form, CausalChoices)
    features = form.features(ENTITIES)
    batch = form.collate(features)
    scores = form.scores(model, batch)
    wanted, best = [], []
    for row, feature in zip(ENTITIES, features, strict=True):
        assert isinstance(feature.target, list)
        prompt = feature.inputs["input_ids"][: feature.target.count(-100)]
        assert tokenizer.decode(prompt).endswith("\nanswer:")
        each = []
        for entity in row["entities"]:
            ids = [*prompt, *tokenizer(f" {entity}", add_special_tokens=False)["input_ids"], 2]
            each.append(-mean_loss(model, ids, len(prompt)) * (len(ids) - len(prompt)))
        wanted += each
        best.append(row["entities"][each.index(max(each))])
    torch.testing.assert_close(scores, torch.tensor(wanted), rtol=1e-4, atol=1e-4)
    assert form.predict(model, batch) == best
    single = [form.predict(model, form.collate([feature]))[0] for feature in features]
    assert single == best
    said, loss = form.assess(model, batch)
    assert said == best
    ids, mask, labels = (batch[name] for name in ("input_ids", "attention_mask", "labels"))
    torch.testing.assert_close(
        form.loss(model, batch), model(ids, attention_mask=mask, labels=labels).loss
    )
    assert loss == pytest.approx(form.loss(model, batch).item())


def test_the_first_right_choice_is_learned() -> None:
    tokenizer, model = byte_tokenizer(), decoder(max_position_embeddings=128)
    form = make_format(get("record"), tokenizer, model.config)
    (feature,) = form.features(ENTITIES[:1])
    assert tokenizer.decode(feature.inputs["input_ids"]).endswith("\nanswer: zz</s>")


def test_a_choice_may_be_a_number_of_columns_without_words() -> None:
    """The answer is then the number of the choice, which is put to the model as a text."""
    tokenizer, model = byte_tokenizer(), decoder(max_position_embeddings=128)
    task = replace(get("copa"), label_words=())
    form = make_format(task, tokenizer, model.config)
    assert isinstance(form, CausalChoices)
    features = form.features(COPA)
    assert [tokenizer.decode(f.target[-len("e f</s>") + 3 :]) for f in features[:1]] == ["e f</s>"]  # type: ignore[index]
    assert set(form.predict(model, form.collate(features))) <= {0.0, 1.0}


def test_a_choice_that_leaves_no_room_is_refused() -> None:
    form = make_format(get("record"), byte_tokenizer(), decoder().config)
    long: Row = {**RECORD[1], "entities": ["w" * 70, "q"]}
    with pytest.raises(ConfigError, match=r"longest choice .* has 72 tokens, .* 64 positions"):
        form.features([{**long, "answers": ["q"]}])


# --- labels that are written ---


def learned(form: Any, model: Any, rows: list[Row]) -> Any:
    """Return a model that knows these rows by heart."""
    batch = form.collate(form.features(rows))
    steps = torch.optim.AdamW(model.parameters(), lr=0.02)
    for _ in range(60):
        loss = form.loss(model, batch)
        steps.zero_grad()
        loss.backward()
        steps.step()
    return model.eval()


@pytest.mark.parametrize("family", CACHED)
def test_labels_are_written_as_without_a_cache_and_alone(family: str) -> None:
    tokenizer, model = word_tokenizer(WORDS), decoder(family, max_position_embeddings=128)
    form = make_format(WRITTEN, tokenizer, model.config)
    learned(form, model, ROWS)
    features = form.features(ROWS)
    found = form.predict(model, form.collate(features))
    assert found == [0.0, 1.0, 1.0]
    adapted(model, "lora", "prefix")
    found = form.predict(model, form.collate(features))
    words = {"entailment": 0.0, "not_entailment": 1.0}
    for feature, label in zip(features, found, strict=True):
        prompt = feature.inputs["input_ids"][: feature.target.count(-100)]  # type: ignore[union-attr]
        text = tokenizer.decode(alone(model, prompt, form.end, 6), skip_special_tokens=True)  # type: ignore[attr-defined]
        assert label == words.get(text.strip(), -1.0)
        assert form.predict(model, form.collate([feature])) == [label]


def writing(model: Any, tokenizer: Any, text: str) -> None:
    """Let a model write this text behind whatever it reads."""
    answer = [*tokenizer(text, add_special_tokens=False)["input_ids"], 2]

    def generate(input_ids: Any, **_: Any) -> Any:
        rows = torch.tensor([answer] * len(input_ids))
        return torch.cat([input_ids, rows], dim=1)

    model.generate = generate


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (" entailment", 0.0),
        (" not_entailment", 1.0),
        (" not", -1.0),
        ("", -1.0),
        (" entailments", -1.0),
    ],
)
def test_what_is_no_label_word_is_no_label(text: str, label: float) -> None:
    tokenizer, model = byte_tokenizer(), decoder(max_position_embeddings=128)
    form = make_format(WRITTEN, tokenizer, model.config)
    writing(model, tokenizer, text)
    assert form.predict(model, form.collate(form.features(ROWS[:1]))) == [label]


@pytest.mark.parametrize(("text", "number"), [(" 3.4", 3.4), (" 3.55", 3.55), (" far", -1.0)])
def test_numbers_that_are_written(text: str, number: float) -> None:
    tokenizer, model = byte_tokenizer(), decoder(max_position_embeddings=128)
    form = make_format(NUMBERS, tokenizer, model.config)
    writing(model, tokenizer, text)
    batch = form.collate(form.features([{**ROWS[0], "label": 3.5}]))
    assert form.predict(model, batch) == [number]


def test_a_word_that_goes_on_is_no_label() -> None:
    """It may write more than the longest word has: else what is cut off would not be seen."""
    tokenizer, model = byte_tokenizer(), decoder(max_position_embeddings=128)
    task = replace(WRITTEN, label_words=("yes", "yessir"))
    form = make_format(task, tokenizer, model.config)
    row: Row = {"sentence1": "a", "sentence2": "b", "label": 1}
    endless = replace(task, label_words=("no", "yessir" + "!" * 3))
    learned(make_format(endless, tokenizer, model.config), model, [row])
    assert form.predict(model, form.collate(form.features([row]))) == [-1.0]


def test_writing_is_trained_as_scoring_is() -> None:
    tokenizer, model = byte_tokenizer(), decoder(max_position_embeddings=128)
    forms = [make_format(task, tokenizer, model.config) for task in (get("rte"), WRITTEN)]
    losses = [form.loss(model, form.collate(form.features(ROWS))) for form in forms]
    torch.testing.assert_close(*losses)
    assert forms[1].assess(model, forms[1].collate(forms[1].features(ROWS)))[1] == pytest.approx(
        float(losses[0].detach())
    )


def test_no_position_is_asked_for_that_is_not_there() -> None:
    """GPT-2 has a vector for each position; prompt and answer have to share them."""
    tokenizer, model = byte_tokenizer(), decoder("gpt2", max_position_embeddings=48)
    form = make_format(WRITTEN, tokenizer, model.config)
    row = {**ROWS[0], "sentence1": "a" * 100}
    assert len(form.predict(model, form.collate(form.features([row])))) == 1
    assert form.truncated == 1


def test_answers_that_stand_in_a_text_are_written() -> None:
    tokenizer, model = byte_tokenizer(), decoder(max_position_embeddings=128)
    task = replace(
        EXTRACTION, template="q: {question} c: {context}", max_length=64, max_target_length=20
    )
    form = make_format(task, tokenizer, model.config)
    assert isinstance(form, CausalGeneration)
    rows: list[Row] = [
        {"question": "w", "context": "a b", "answers": {"text": ["b", "a b"], "answer_start": [2]}},
        {"question": "w", "context": "a b", "answers": {"text": [], "answer_start": []}},
    ]
    learned(form, model, rows[1:])
    features = form.features(rows)
    assert tokenizer.decode(features[0].inputs["input_ids"]).endswith("answer: b</s>")
    assert form.predict(model, form.collate(features[1:])) == [""]
