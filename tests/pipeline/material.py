"""Tiny models with tokenizers on disk, rows in a folder, a space, and a short configuration."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from peftsearch import config as configuration
from peftsearch.config import RunConfig

WORDS = "the a red blue green cat dog bird sees likes has no one two three not".split()
SPECIAL = ["<pad>", "</s>", "<unk>", "<cls>", "<sep>"]
OTHERS = ["rte", "sentence1:", "sentence2:", "entailment", "not_entailment", "0", "5"]
SPACE = {
    "name": "few",
    "description": "A few gates of every kind.",
    "combine": "one",
    "sites": [
        {
            "where": {"part": "attention"},
            "candidates": [
                {"method": "lora", "modules": ["q", "v"], "sizes": [1, 2]},
                {"method": "prefix", "sizes": [1, 2]},
            ],
        },
        {
            "where": {"part": "feed_forward"},
            "candidates": [
                {"method": "adapter", "sizes": [1, 2]},
                {"method": "parallel_adapter", "sizes": [2]},
                {"method": "bitfit"},
            ],
        },
    ],
}
#: Few steps; everything logged, so that a test can stop at any step.
SHORT: dict[str, Any] = {
    "budget": "12%",
    "device": "cpu",
    "seeds": 1,
    "search": {
        "steps": 8,
        "batch_size": 8,
        "measured": 4,
        "valid_rows": 16,
        "gate_every": 1,
        "log_every": 1,
        "checkpoint_every": 3,
    },
    "trainings": 20,
    "race": {"first_rung": 0.5, "last_rung": 1.0},
    "retrain": {"steps": 5, "batch_size": 8, "checkpoint_every": 2, "random_baselines": 1},
}


@dataclass(frozen=True)
class Material:
    """Folders of what a run needs."""

    t5: Path
    bert: Path
    data: Path
    space: Path

    def config(self, model: str = "t5", **changes: Any) -> RunConfig:
        """Return a short configuration; sections are changed key by key."""
        flags = {key: dict(v) if isinstance(v, dict) else v for key, v in SHORT.items()}
        for key, value in changes.items():
            if isinstance(value, dict):
                flags[key] = {**flags.get(key, {}), **value}
            else:
                flags[key] = value
        places = {"model": getattr(self, model), "data": self.data, "space": self.space}
        named = {key: str(path) for key, path in places.items()}
        return configuration.resolve(flags={**named, "task": "rte", **flags})


def build(folder: Path) -> Material:
    """Write everything under a folder."""
    material = Material(folder / "t5", folder / "bert", folder / "data", folder / "few.yaml")
    _write_t5(material.t5)
    _write_bert(material.bert)
    write_rows(material.data)
    material.space.write_text(yaml.safe_dump(SPACE))
    return material


def write_space(path: Path, part: str, *candidates: dict[str, Any]) -> Path:
    """Write a space of one rule: candidates at one part of every layer."""
    rule = {"where": {"part": part}, "candidates": list(candidates)}
    path.write_text(yaml.safe_dump({"name": path.stem, "sites": [rule]}))
    return path


def write_rows(folder: Path, seed: int = 0) -> None:
    """Write rows whose second text repeats the first (0) or says something else (1)."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", 80), ("validation", 24)):
        lines = []
        for number in range(count):
            text = " ".join(rng.choices(WORDS, k=rng.randint(3, 6)))
            other = " ".join(rng.choices(WORDS, k=4))
            label = number % 2
            row = {"sentence1": text, "sentence2": other if label else text, "label": label}
            lines.append(json.dumps(row))
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


def _tokenizer(template: str, pair: str) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *WORDS, *OTHERS])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    specials = [(word, vocabulary[word]) for word in SPECIAL]
    made.post_processor = processors.TemplateProcessing(
        single=template, pair=pair, special_tokens=specials
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        cls_token="<cls>",
        sep_token="<sep>",
        model_max_length=64,
    )


def _write_t5(folder: Path) -> None:
    from tests.models import t5

    model = t5(
        16, num_layers=1, num_decoder_layers=1, vocab_size=32, eos_token_id=1, dropout_rate=0.1
    )
    model.save_pretrained(folder)
    _tokenizer("$A </s>", "$A $B </s>").save_pretrained(folder)


def _write_bert(folder: Path) -> None:
    from tests.models import bert

    model = bert(16, num_hidden_layers=1, vocab_size=32, hidden_dropout_prob=0.1)
    model.bert.save_pretrained(folder)
    _tokenizer("<cls> $A <sep>", "<cls> $A <sep> $B:1 <sep>:1").save_pretrained(folder)
