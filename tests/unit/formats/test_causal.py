"""The formats of decoders against the model's own loss and against rows one by one."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional

from peftsearch.errors import ConfigError
from peftsearch.formats import (
    CausalGeneration,
    CausalLabels,
    Chat,
    LanguageModelling,
    SequenceClassification,
    TextToText,
    form_of,
    head_outputs,
    make_format,
)
from peftsearch.formats.causal import IGNORED, prompts
from peftsearch.tasks import Row, Task, get, score
from tests.models import FACTORIES
from tests.unit.formats.decoder_material import (
    TEMPLATE,
    byte_tokenizer,
    decoder,
    word_tokenizer,
)

TEXTS: list[Row] = [{"text": text} for text in ("a cat", "the dog saw a bird", "no")]
LM, CHAT = get("language-modelling"), get("chat")
ROWS: list[Row] = [
    {"sentence1": "a b c", "sentence2": "d", "label": 0},
    {"sentence1": "long " * 6, "sentence2": "tail", "label": 1},
    {"sentence1": "x", "sentence2": "y z", "label": 1},
]
WRITE = Task(
    name="copy",
    description="",
    kind="generation",
    columns=("text",),
    label_column="out",
    template="copy {text}",
    metrics=("exact_match",),
    max_target_length=6,
)
PAIRS: list[Row] = [{"text": "ab", "out": "ab"}, {"text": "a longer one", "out": "on"}]


def mean_loss(model: Any, ids: list[int], first: int = 1) -> float:
    """Return the mean loss of the tokens from a place on, by transformers itself."""
    labels = torch.tensor([[IGNORED] * first + ids[first:]])
    with torch.no_grad():
        return float(model(torch.tensor([ids]), labels=labels).loss)


@pytest.mark.parametrize(
    ("family", "kind", "wanted", "form"),
    [
        ("bert", "classification", "auto", "head"),
        ("t5", "regression", "auto", "text"),
        ("gpt2", "classification", "auto", "text"),
        ("gpt2", "classification", "head", "head"),
        ("gpt2", "regression", "auto", "head"),
        ("gpt2", "regression", "text", "text"),
        ("opt", "generation", "auto", "text"),
        ("llama", "chat", "auto", "text"),
        ("bert", "generation", "auto", None),
        ("t5", "chat", "auto", None),
        ("bert", "language-modelling", "auto", None),
        ("bert", "classification", "text", None),
        ("t5", "classification", "head", None),
        ("llama", "generation", "head", None),
    ],
)
def test_the_rule(family: str, kind: str, wanted: str, form: str | None) -> None:
    config, task = FACTORIES[family]().config, replace(WRITE, kind=kind, labels=("a", "b"))
    if form is None:
        with pytest.raises(ConfigError, match=r"needs|not to be had"):
            form_of(task, config, wanted)
        return
    assert form_of(task, config, wanted) == form
    assert head_outputs(task, config, wanted) == (2 if form == "head" else 0)


def test_the_rule_makes_the_formats() -> None:
    tokenizer, config = byte_tokenizer(template=TEMPLATE), decoder().config
    made = [
        make_format(task, tokenizer, config) for task in (LM, CHAT, WRITE, get("rte"), get("stsb"))
    ]
    assert [type(each) for each in made] == [
        LanguageModelling,
        Chat,
        CausalGeneration,
        CausalLabels,
        SequenceClassification,
    ]
    assert isinstance(make_format(get("stsb"), tokenizer, config, "text"), CausalLabels)
    assert [each.num_labels for each in made] == [0, 0, 0, 0, 1]
    assert TextToText.num_labels == 0


def test_a_text_is_predicted_from_its_first_token() -> None:
    tokenizer, model = byte_tokenizer(), decoder()
    form = make_format(LM, tokenizer, model.config)
    features = form.features(TEXTS)
    assert features[0].inputs["input_ids"] == tokenizer("a cat")["input_ids"]
    wanted = [-mean_loss(model, feature.inputs["input_ids"]) for feature in features]
    batch = form.collate(features)
    found, loss = form.assess(model, batch)
    assert found == pytest.approx(wanted, abs=1e-5)
    assert form.predict(model, batch) == found
    assert [feature.reference for feature in features] == [5, 18, 2]
    mean = sum(w * n for w, n in zip(wanted, (5, 18, 2), strict=True)) / 25
    scores = score(LM.metrics, [f.reference for f in features], found)
    assert scores["log_likelihood"] == pytest.approx(mean, abs=1e-5) == pytest.approx(-loss)
    assert scores["perplexity"] == pytest.approx(math.exp(-mean), rel=1e-5)
    torch.testing.assert_close(form.loss(model, batch), model(**batch).loss)


def test_without_a_first_token_the_end_token_stands_there() -> None:
    tokenizer, model = byte_tokenizer(begins=False), decoder("gpt2")
    assert tokenizer.pad_token_id is None
    form = make_format(LM, tokenizer, model.config)
    (feature,) = form.features(TEXTS[:1])
    assert feature.inputs["input_ids"] == [2, *tokenizer("a cat")["input_ids"]]


@pytest.mark.parametrize("length", [4, 7, 19, 20])
def test_windows_predict_every_token_once(length: int) -> None:
    tokenizer, model = byte_tokenizer(), decoder()
    form = make_format(replace(LM, max_length=length), tokenizer, model.config)
    text = TEXTS[1]["text"]
    windows = [feature.inputs["input_ids"] for feature in form.features(TEXTS[1:2])]
    assert max(map(len, windows)) <= length
    assert tokenizer.decode([i for w in windows for i in w[1:]]) == text
    assert all(a[-1] == b[0] for a, b in itertools.pairwise(windows))
    assert sum(f.reference for f in form.features(TEXTS[1:2])) == len(text)
    assert form.truncated == 0
    with pytest.raises(ConfigError, match="has no token"):
        form.features([{"text": ""}])


def test_few_logits_at_once_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = decoder()
    form = make_format(LM, byte_tokenizer(), model.config)
    batch = form.collate(form.features(TEXTS))
    whole = form.predict(model, batch)
    monkeypatch.setattr("peftsearch.formats.causal.MOST_LOGITS", 1)
    assert form.predict(model, batch) == pytest.approx(whole, abs=1e-5)


def test_an_answer_follows_a_cue_and_a_blank() -> None:
    tokenizer, model = byte_tokenizer(), decoder()
    form = make_format(get("rte"), tokenizer, model.config)
    (feature,) = form.features(ROWS[:1])
    ids, labels = feature.inputs["input_ids"], feature.target
    assert isinstance(labels, list)
    begin = labels.count(IGNORED)
    prompt = "rte sentence1: a b c sentence2: d\nanswer:"
    assert ids[:begin] == tokenizer(prompt)["input_ids"]
    assert ids[begin:] == labels[begin:]
    assert tokenizer.decode(labels[begin:]) == " entailment</s>"
    own = replace(WRITE, template="{text}\nIn short:")
    (feature,) = make_format(own, tokenizer, model.config).features(PAIRS[:1])
    assert tokenizer.decode(feature.inputs["input_ids"]) == "<s>ab\nIn short: ab</s>"


def test_a_tokenizer_without_blanks_gets_none() -> None:
    tokenizer = word_tokenizer("copy ab a longer one on answer: entailment not_entailment")
    form = make_format(WRITE, tokenizer, decoder().config)
    (feature,) = form.features(PAIRS[:1])
    assert tokenizer.decode(feature.inputs["input_ids"][:-1]) == "copy ab answer: ab"
    same = replace(get("rte"), label_words=("one", " one"))
    with pytest.raises(ConfigError, match=r'words "one" and " one" .* the same tokens'):
        make_format(same, tokenizer, decoder().config)


def test_scores_are_the_log_likelihoods_of_the_words() -> None:
    """Row by row, word by word, without padding, against the batched scores."""
    tokenizer, model = byte_tokenizer(), decoder(max_position_embeddings=128)
    form = make_format(get("rte"), tokenizer, model.config)
    assert isinstance(form, CausalLabels)
    batch = form.collate(form.features(ROWS))
    scores = form.scores(model, batch)
    for i, row in enumerate(ROWS):
        prompt = f"rte sentence1: {row['sentence1']} sentence2: {row['sentence2']}\nanswer:"
        begin = tokenizer(prompt)["input_ids"]
        for j, word in enumerate(("entailment", "not_entailment")):
            ids = [*begin, *tokenizer(f" {word}", add_special_tokens=False)["input_ids"], 2]
            tokens = len(ids) - len(begin)
            wanted = -mean_loss(model, ids, len(begin)) * tokens
            assert float(scores[i, j]) == pytest.approx(wanted, rel=1e-4)
    said, loss = form.assess(model, batch)
    assert said == [float(i) for i in scores.argmax(1)] == form.predict(model, batch)
    assert loss == pytest.approx(form.loss(model, batch).item(), rel=1e-5)


def test_a_long_prompt_keeps_its_wording() -> None:
    tokenizer, model = byte_tokenizer(), decoder()
    task = replace(get("rte"), max_length=48)
    form = make_format(task, tokenizer, model.config)
    features = form.features(ROWS)
    assert form.truncated == 1
    ids, labels = features[1].inputs["input_ids"], features[1].target
    assert isinstance(labels, list)
    assert len(ids) <= model.config.max_position_embeddings
    assert labels.count(IGNORED) <= 48
    assert tokenizer.decode(ids).endswith(" sentence2: tail\nanswer: not_entailment</s>")


def test_prompts_stand_left_of_what_is_written() -> None:
    model = decoder()
    form = make_format(WRITE, byte_tokenizer(), model.config)
    features = form.features(PAIRS)
    batch = form.collate(features)
    ids, mask = prompts(batch, form.pad)  # type: ignore[attr-defined]
    for row, there, feature in zip(ids, mask, features, strict=True):
        assert isinstance(feature.target, list)
        begin = feature.target.count(IGNORED)
        assert row[there == 1].tolist() == feature.inputs["input_ids"][:begin]
        assert there.tolist() == sorted(there.tolist())


def test_answers_that_are_too_long_are_refused() -> None:
    form = make_format(WRITE, byte_tokenizer(), decoder().config)
    with pytest.raises(ConfigError, match=r"1 of 1 answers .* longer than 6 tokens; .* has 10"):
        form.features([{"text": "a", "out": "12345678"}])
    roomy = replace(WRITE, max_target_length=999)
    form = make_format(roomy, byte_tokenizer(), decoder(max_position_embeddings=40).config)
    with pytest.raises(ConfigError, match="longer than 20 tokens") as caught:
        form.features([{"text": "a", "out": "a" * 30}])
    assert "The model takes no more" in caught.value.hint
    task = replace(WRITE, target_tokenizer="x")
    with pytest.raises(ConfigError, match="reads and writes with one tokenizer"):
        make_format(task, byte_tokenizer(), decoder().config)


def chat(*turns: tuple[str, str]) -> Row:
    return {"messages": json.dumps([{"role": r, "content": c} for r, c in turns])}


TALK = chat(("system", "be kind"), ("user", "hi"), ("assistant", "hello"), ("user", "bye"),
            ("assistant", "farewell"))  # fmt: skip


def learned(tokenizer: Any, feature: Any) -> str:
    return str(tokenizer.decode([label for label in feature.target if label != IGNORED]))


def test_only_answers_are_learned() -> None:
    tokenizer, model = byte_tokenizer(template=TEMPLATE), decoder(max_position_embeddings=128)
    form = make_format(CHAT, tokenizer, model.config)
    (feature,) = form.features([TALK])
    text = "[system] be kind\n[user] hi\n[assistant] hello</s>\n[user] bye\n"
    assert tokenizer.decode(feature.inputs["input_ids"]) == f"{text}[assistant] farewell</s>\n"
    assert learned(tokenizer, feature) == "hello</s>\nfarewell</s>\n"
    assert feature.reference == 17
    batch = form.collate([feature])
    torch.testing.assert_close(form.loss(model, batch), model(**batch).loss)


def test_a_template_that_changes_earlier_answers_teaches_the_last() -> None:
    drops = TEMPLATE.replace("{{ m['content'] }}{% if", "{% if loop.last or m['role'] != "
                             "'assistant' %}{{ m['content'] }}{% endif %}{% if")  # fmt: skip
    tokenizer = byte_tokenizer(template=drops)
    form = make_format(CHAT, tokenizer, decoder(max_position_embeddings=128).config)
    (feature,) = form.features([TALK])
    assert learned(tokenizer, feature) == "farewell</s>\n"


def test_a_long_conversation_loses_its_beginning() -> None:
    tokenizer, model = byte_tokenizer(template=TEMPLATE), decoder(max_position_embeddings=128)
    form = make_format(replace(CHAT, max_length=30), tokenizer, model.config)
    (feature,) = form.features([TALK])
    assert (form.truncated, len(feature.inputs["input_ids"])) == (1, 30)
    assert learned(tokenizer, feature) == "farewell</s>\n"
    with pytest.raises(ConfigError, match="no answer within the 30 tokens"):
        form.features([chat(("assistant", "yes"), ("user", "why " * 20))])


def test_no_template_and_a_template_that_refuses() -> None:
    with pytest.raises(ConfigError, match="has no chat template") as caught:
        make_format(CHAT, byte_tokenizer(), decoder().config)
    assert "Instruct" in caught.value.hint
    strict = "{{ raise_exception('no system') if messages[0]['role'] == 'system' }}" + TEMPLATE
    form = make_format(CHAT, byte_tokenizer(template=strict), decoder().config)
    with pytest.raises(ConfigError, match=r"roles system, user, .*: no system"):
        form.features([TALK])


def test_half_precision_scores_in_full() -> None:
    model = decoder().to(torch.bfloat16)
    form = make_format(LM, byte_tokenizer(), model.config)
    batch = form.collate(form.features(TEXTS))
    loss = form.loss(model, batch)
    assert loss.dtype == torch.float32
    logits = model(**batch).logits.float()[:, :-1].flatten(0, 1)
    wanted = functional.cross_entropy(logits, batch["labels"][:, 1:].flatten())
    torch.testing.assert_close(loss, wanted)
