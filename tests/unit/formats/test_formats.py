"""Both formats against small real models and what the definitions say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional

from peftsearch.errors import ConfigError
from peftsearch.formats import SequenceClassification, TextToText, make_format
from peftsearch.tasks import Row, Task, get

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:_"
ROWS: list[Row] = [
    {"sentence1": "a b c", "sentence2": "d", "label": 0},
    {"sentence1": "long " * 6, "sentence2": "tail", "label": 1},
    {"sentence1": "x", "sentence2": "y z", "label": 1},
]
SCORED = {**ROWS[0], "label": 3.49}


def t5(start: bool = True) -> tuple[Any, Any]:
    from transformers import T5Config, T5ForConditionalGeneration, T5Tokenizer

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0), ("▁", -3.0)]
    pieces += [(letter, -4.0) for letter in LETTERS]
    tokenizer = T5Tokenizer(vocab=[*pieces, ("▁entailment", -1.0)], extra_ids=2)
    options = {"decoder_start_token_id": 0} if start else {}
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=4, d_ff=32, num_heads=2, num_layers=2, **options
    )
    model = T5ForConditionalGeneration(config).eval()
    for parameter in model.parameters():  # a fresh T5 is nearly uniform; make words differ
        torch.nn.init.normal_(parameter, std=0.3)
    return tokenizer, model


def bert(model_type: str = "bert", outputs: int = 2) -> tuple[Any, Any]:
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS]
    vocabulary += [f"##{letter}" for letter in LETTERS]
    tokenizer = BertTokenizer(vocab={piece: i for i, piece in enumerate(vocabulary)})
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
        num_labels=outputs,
    )
    return tokenizer, BertForSequenceClassification(config).eval()


def test_the_model_decides_the_format() -> None:
    for (tokenizer, model), kind, outputs in (
        (t5(), TextToText, 0),
        (bert(), SequenceClassification, 2),
    ):
        format = make_format(get("rte"), tokenizer, model.config)
        assert isinstance(format, kind)
        assert format.num_labels == outputs


@pytest.mark.parametrize("build", [t5, bert])
def test_loss_is_the_model_s_own(build: Any) -> None:
    tokenizer, model = build()
    format = make_format(get("rte"), tokenizer, model.config)
    batch = format.collate(format.features(ROWS))
    loss = format.loss(model, batch)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, model(**batch).loss)
    loss.backward()


def test_text_to_text_batch() -> None:
    tokenizer, model = t5()
    format = make_format(get("rte"), tokenizer, model.config)
    features = format.features(ROWS)
    batch = format.collate(features)
    prompt = tokenizer.decode(features[0].inputs["input_ids"], skip_special_tokens=True)
    assert prompt == "rte sentence1: a b c sentence2: d"
    end = tokenizer.eos_token_id
    lengths = batch["attention_mask"].sum(1).tolist()
    assert [row[n - 1] for row, n in zip(batch["input_ids"].tolist(), lengths, strict=True)] == [
        end
    ] * 3
    for row, words in zip(ROWS, batch["labels"], strict=True):
        kept = words[words != -100].tolist()
        assert kept[-1] == end
        assert tokenizer.decode(kept[:-1]) == get("rte").labels[row["label"]]


@pytest.mark.parametrize("start", [True, False])
def test_scores_are_the_log_likelihoods_of_the_words(start: bool) -> None:
    """Row by row, word by word, without padding, against the batched scores."""
    tokenizer, model = t5(start)
    format = make_format(get("rte"), tokenizer, model.config)
    batch = format.collate(format.features(ROWS))
    scores = format.scores(model, batch)
    model.config.decoder_start_token_id = 0
    for i, feature in enumerate(format.features(ROWS)):
        for j, word in enumerate(("entailment", "not_entailment")):
            labels = torch.tensor([tokenizer(word)["input_ids"]])
            with torch.no_grad():
                out = model(torch.tensor([feature.inputs["input_ids"]]), labels=labels)
            likelihood = -out.loss * labels.shape[1]
            torch.testing.assert_close(scores[i, j], likelihood, rtol=1e-4, atol=1e-4)
    best = scores.argmax(1).tolist()
    assert format.predict(model, batch) == [float(i) for i in best]
    assert not scores.requires_grad


def test_scoring_in_pieces_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, model = t5()
    format = make_format(get("stsb"), tokenizer, model.config)
    batch = format.collate(format.features([SCORED] * 5))
    whole = format.scores(model, batch)
    assert whole.shape == (5, 26)
    monkeypatch.setattr("peftsearch.formats.text_to_text.MOST_LOGITS", 1)
    torch.testing.assert_close(format.scores(model, batch), whole, rtol=1e-4, atol=1e-4)


def test_regression_answers_numbers_as_t5_does() -> None:
    tokenizer, model = t5()
    format = make_format(get("stsb"), tokenizer, model.config)
    features = format.features([SCORED])
    target = features[0].target
    assert isinstance(target, list)
    assert tokenizer.decode(target[:-1]) == "3.4"
    assert [f.reference for f in format.features([SCORED])] == [3.49]
    (answer,) = format.predict(model, format.collate(features))
    assert answer in [round(0.2 * i, 1) for i in range(26)]
    with pytest.raises(ConfigError, match=r"the label 7 .* lies outside the answers 0 to 5"):
        format.features([{**SCORED, "label": 7.0}])
    own = replace(get("stsb"), label_words=("0", "10"))
    format = make_format(own, tokenizer, model.config)
    assert format.features([{**SCORED, "label": 7.0}])[0].target == tokenizer("10")["input_ids"]


def test_long_inputs_lose_the_end_of_the_longest_text() -> None:
    tokenizer, model = t5()
    task = replace(get("rte"), max_length=50)
    format = make_format(task, tokenizer, model.config)
    rows = [{**ROWS[0]}, {"sentence1": "abcd " * 40, "sentence2": "whole", "label": 0}]
    features = format.features(rows)
    assert format.truncated == 1
    ids = features[1].inputs["input_ids"]
    assert 40 < len(ids) <= 50
    text = tokenizer.decode(ids, skip_special_tokens=True)
    assert text.startswith("rte sentence1: abcd abcd")
    assert text.endswith("sentence2: whole")
    assert ids[-1] == tokenizer.eos_token_id


def test_wording_longer_than_the_limit_is_cut() -> None:
    tokenizer, model = t5()
    format = make_format(replace(get("rte"), max_length=8), tokenizer, model.config)
    assert len(format.features(ROWS)[1].inputs["input_ids"]) == 8
    assert format.truncated == len(ROWS)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (replace(get("rte"), label_words=("é", "ü")), 'label words "é" and "ü"'),
        (replace(get("rte"), template=""), "has no template"),
    ],
)
def test_tasks_that_cannot_be_put_to_the_model(task: Task, words: str) -> None:
    tokenizer, model = t5()
    with pytest.raises(ConfigError, match=words):
        make_format(task, tokenizer, model.config)


def test_sequence_classification_batch() -> None:
    tokenizer, model = bert()
    format = make_format(get("rte"), tokenizer, model.config)
    batch = format.collate(format.features(ROWS))
    expected = tokenizer(
        [row["sentence1"] for row in ROWS],
        [row["sentence2"] for row in ROWS],
        padding=True,
        return_tensors="pt",
    )
    assert set(batch) == {*expected, "labels"}
    for name in expected:
        assert torch.equal(batch[name], expected[name])
    assert batch["labels"].tolist() == [0, 1, 1]
    logits = model(**expected).logits.detach()
    torch.testing.assert_close(format.scores(model, batch), logits)
    assert format.predict(model, batch) == [float(i) for i in logits.argmax(1).tolist()]
    assert [f.reference for f in format.features(ROWS)] == [0.0, 1.0, 1.0]


def test_sequence_classification_of_numbers() -> None:
    tokenizer, model = bert(outputs=1)
    format = make_format(get("stsb"), tokenizer, model.config)
    assert format.num_labels == 1
    batch = format.collate(format.features([SCORED, SCORED]))
    assert batch["labels"].dtype == torch.float32
    value = model(**{k: v for k, v in batch.items() if k != "labels"}).logits[0, 0].detach()
    assert format.predict(model, batch) == pytest.approx([float(value)] * 2)
    torch.testing.assert_close(format.loss(model, batch), (value - 3.49) ** 2)


def test_the_model_s_own_limit_counts() -> None:
    tokenizer, model = bert()
    format = make_format(get("rte"), tokenizer, model.config)
    assert format.max_length == 40
    long = {"sentence1": "a " * 60, "sentence2": "b c", "label": 0}
    ids = format.features([ROWS[0], long])[1].inputs["input_ids"]
    assert len(ids) == 40
    assert format.truncated == 1
    assert tokenizer.decode(ids).endswith("[SEP] b c [SEP]")
    roberta = type("Config", (), {})()
    roberta.model_type, roberta.pad_token_id = "roberta", 1
    roberta.max_position_embeddings, roberta.is_encoder_decoder = 514, False
    task = replace(get("rte"), max_length=1000)
    assert make_format(task, tokenizer, roberta).max_length == 512


@pytest.mark.parametrize("build", [t5, bert])
def test_bfloat16_is_scored_in_float32(build: Any) -> None:
    tokenizer, model = build()
    format = make_format(get("rte"), tokenizer, model.config)
    batch = format.collate(format.features(ROWS))
    model = model.to(torch.bfloat16)
    assert format.loss(model, batch).dtype == torch.float32
    assert format.scores(model, batch).dtype == torch.float32


@pytest.mark.parametrize("build", [t5, bert])
def test_no_rows_give_no_features(build: Any) -> None:
    tokenizer, model = build()
    assert make_format(get("rte"), tokenizer, model.config).features([]) == []


def test_token_mean_of_the_loss() -> None:
    tokenizer, model = t5()
    format = make_format(get("rte"), tokenizer, model.config)
    batch = format.collate(format.features(ROWS))
    logits = model(**batch).logits
    kept = batch["labels"] != -100
    expected = functional.cross_entropy(logits[kept], batch["labels"][kept])
    torch.testing.assert_close(format.loss(model, batch), expected)


@pytest.mark.parametrize("family", ["t5", "bert"])
@pytest.mark.parametrize("name", ["rte", "stsb"])
def test_one_pass_gives_predictions_and_loss(family: str, name: str) -> None:
    task = get(name)
    tokenizer, model = t5() if family == "t5" else bert(outputs=max(1, len(task.labels)))
    format = make_format(task, tokenizer, model.config)
    rows = ROWS if name == "rte" else [{**row, "label": 1.7 * i} for i, row in enumerate(ROWS)]
    batch = format.collate(format.features(rows))
    with torch.no_grad():
        answers, loss = format.assess(model, batch)
        assert answers == format.predict(model, batch)
        assert loss == pytest.approx(float(format.loss(model, batch)), rel=1e-5)
