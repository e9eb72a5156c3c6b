"""The packaged micro BERT: loads like any other encoder, knows the language, not the task."""

from __future__ import annotations

import json
import random
import warnings
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, BertForMaskedLM

from peftsearch.backbones.base import Backbone
from peftsearch.backbones.loading import load_backbone, load_reader
from peftsearch.micro import MODEL_DIRS
from peftsearch.micro.corpus import vocabulary
from peftsearch.micro.lexicon import lexicon
from peftsearch.micro.nli import nli_rows
from peftsearch.micro.sentences import random_sentence

FOLDER = MODEL_DIRS["micro-bert"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load_backbone("micro-bert", num_labels=2)


def ids_of(model: str) -> dict[str, int]:
    """Return the vocabulary of a built-in model as its file has it."""
    text = (MODEL_DIRS[model] / "tokenizer.json").read_text(encoding="utf-8")
    found: dict[str, int] = json.loads(text)["model"]["vocab"]
    return found


def test_it_is_a_small_plain_bert(backbone: Backbone) -> None:
    config = backbone.model.config
    assert backbone.family == "bert"
    assert (config.hidden_size, config.intermediate_size) == (64, 256)
    assert (config.num_hidden_layers, config.num_attention_heads) == (4, 4)
    assert backbone.num_parameters < 300_000
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_200_000


def test_only_the_head_is_drawn_when_it_is_loaded(backbone: Backbone) -> None:
    again = load_backbone("micro-bert", num_labels=3).model.bert.state_dict()
    assert all(torch.equal(again[k], v) for k, v in backbone.model.bert.state_dict().items())
    assert backbone.num_head_parameters == 64 * 2 + 2


def test_it_has_the_words_of_the_t5_in_the_same_order() -> None:
    bert, t5 = ids_of("micro-bert"), ids_of("micro-t5")
    assert list(bert) == [*SPECIAL, *vocabulary()]
    assert [word for word in t5 if not word.startswith("<")] == list(bert)[len(SPECIAL) :]
    assert sorted(bert.values()) == list(range(len(bert)))


def test_rows_survive_the_tokenizer() -> None:
    tokenizer = load_reader("micro-bert")
    for row in (row for split in ("train", "validation", "test") for row in nli_rows(split)[:200]):
        encoded = tokenizer(row["premise"], row["hypothesis"])
        first, second, rest = tokenizer.decode(encoded["input_ids"]).split("[SEP]")
        assert (first.removeprefix("[CLS]").strip(), second.strip()) == (
            row["premise"],
            row["hypothesis"],
        )
        assert not rest
        length = len(str(row["premise"]).split()) + 2
        types = encoded["token_type_ids"]
        assert types == [0] * length + [1] * (len(types) - length)


def masked_word_accuracy(model: Any) -> float:
    """Share of right words where one word of each of 300 sentences is masked."""
    tokenizer = AutoTokenizer.from_pretrained(FOLDER, local_files_only=True)
    rng, words = random.Random(7), lexicon()
    sentences = [str(random_sentence(rng, words)).split() for _ in range(300)]
    places = [rng.randrange(len(sentence)) for sentence in sentences]
    hidden = [sentence[place] for sentence, place in zip(sentences, places, strict=True)]
    for sentence, place in zip(sentences, places, strict=True):
        sentence[place] = tokenizer.mask_token
    texts = [" ".join(["fill", *sentence]) for sentence in sentences]
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits
    guessed = logits[inputs["input_ids"] == tokenizer.mask_token_id].argmax(-1)
    wanted = torch.tensor(tokenizer.convert_tokens_to_ids(hidden))
    return float((guessed == wanted).float().mean())


def test_it_knows_the_language_and_a_random_one_does_not() -> None:
    pretrained = BertForMaskedLM.from_pretrained(FOLDER, local_files_only=True)
    torch.manual_seed(0)
    assert masked_word_accuracy(BertForMaskedLM(pretrained.config).eval()) < 0.05
    assert masked_word_accuracy(pretrained) > 0.2
