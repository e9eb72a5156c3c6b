"""The memory of a plan: from a config alone, every term, and what options change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig

from peftsearch import config as configuration
from peftsearch import pipeline
from peftsearch.backbones.base import wrap
from peftsearch.memory import sketch as sketching
from peftsearch.memory.frozen import frozen_bytes
from tests.models import FACTORIES

SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "vocab_size": 300,
    "pad_token_id": 0,
}


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("decoder")
    LlamaConfig(**SHAPE).save_pretrained(folder)
    return folder


def plan(decoder: Path, **changes: Any) -> dict[str, Any]:
    flags = {"model": str(decoder), "budget": "3%", "device": "cpu", **changes}
    found = configuration.resolve(flags=flags)
    memory: dict[str, Any] = pipeline.plan(found)["memory_bytes"]
    return memory


def test_every_term_adds_up(decoder: Path) -> None:
    memory = plan(decoder)
    for stage in memory["stages"].values():
        terms = {k: v for k, v in stage.items() if k not in ("rows_at_once", "total")}
        assert all(value > 0 for value in terms.values())
        assert stage["total"] == sum(terms.values())
        assert stage["optimiser"] == 2 * stage["gradients"] == 2 * stage["trained_weights"]
    assert memory["total"] == max(stage["total"] for stage in memory["stages"].values())
    assert memory["stages"]["search"]["gates"] > 0
    assert memory["note"].startswith("32 texts of 64 tokens at once")
    assert (
        memory["stages"]["search"]["trained_weights"]
        > (memory["stages"]["retrain"]["trained_weights"])
    )


def test_options_change_their_terms(decoder: Path) -> None:
    plain = plan(decoder)["stages"]["retrain"]
    half = plan(decoder, precision="bf16")["stages"]["retrain"]
    assert half["frozen_weights"] * 2 == plain["frozen_weights"]
    assert half["activations"] < plain["activations"]
    four = plan(decoder, precision="bf16", load_in="4bit")["stages"]["retrain"]
    assert four["frozen_weights"] < half["frozen_weights"]
    again = plan(decoder, gradient_checkpointing=True)["stages"]["retrain"]
    assert again["activations"] < plain["activations"] / 1.5
    parts = plan(decoder, accumulation=4)["stages"]["retrain"]
    assert parts["rows_at_once"] == 8
    assert parts["activations"] == pytest.approx(plain["activations"] / 4, rel=0.02)
    alone = [key for key in plain if key not in ("activations", "total")]
    assert {key: again[key] for key in alone} == {key: plain[key] for key in alone}


@pytest.mark.parametrize("name", ["llama", "bert", "t5"])
def test_frozen_weights_are_those_of_a_loaded_model(name: str) -> None:
    model = wrap(name, FACTORIES[name]()).model
    head = {id(p) for n, p in model.named_parameters() if n.startswith("classifier")}
    held = sum(p.numel() for p in model.parameters() if id(p) not in head)
    assert frozen_bytes(model, "fp32") == 4 * held
    assert frozen_bytes(model, "bf16") == 2 * held


def test_a_7b_decoder_is_planned_from_its_config(tmp_path: Path) -> None:
    """Llama 2 7B has 6,738,415,616 parameters; nothing of that size is allocated."""
    wide = {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32}
    heads = {"num_attention_heads": 32, "vocab_size": 32000}
    LlamaConfig(**{**SHAPE, **wide, **heads}).save_pretrained(tmp_path)
    before = torch.empty(0)  # torch is loaded
    memory = plan(tmp_path, precision="bf16", load_in="4bit", gradient_checkpointing=True)
    assert before.numel() == 0
    layers = 6738415616 - 2 * 32000 * 4096 - 65 * 4096
    norms_and_ends = 2 * 32000 * 4096 + 65 * 4096
    assert memory["frozen_weights"] == 2 * norms_and_ends + layers // 2 + layers // 16
    assert 5e9 < memory["total"] < 2e10


def test_what_cannot_be_counted_is_not_guessed(decoder: Path, monkeypatch: Any) -> None:
    def look(*_: Any) -> bool:
        return bool(torch.ones(1).isfinite())

    monkeypatch.setattr(sketching, "sample_loss", look)
    memory = plan(decoder)
    assert memory["total"] is None
    assert memory["stages"]["search"]["frozen_weights"] > 0
    assert "cannot be counted" in memory["note"]


@pytest.mark.parametrize("error", [RuntimeError, TypeError, ValueError, NotImplementedError])
def test_a_mistake_is_not_taken_for_that(decoder: Path, error: Any, monkeypatch: Any) -> None:
    def fail(*_: Any) -> None:
        raise error("a mistake")

    monkeypatch.setattr(sketching, "sample_loss", fail)
    with pytest.raises(error, match="a mistake"):
        plan(decoder)


def test_an_architecture_needs_no_search(decoder: Path) -> None:
    config = configuration.resolve(flags={"model": str(decoder), "budget": "3%"})
    assert "search" in pipeline.plan(config)["memory_bytes"]["stages"]
    given = replace(config, architecture="somewhere.json")
    assert list(pipeline.plan(given)["memory_bytes"]["stages"]) == ["retrain"]


@pytest.mark.parametrize(
    ("family", "rows", "read"),
    [
        ("bert", 1, "1 text of 24 tokens"),
        ("bert", 32, "32 texts of 24 tokens"),
        ("bert", 2000, "2,000 texts of 24 tokens"),
        ("vit", 2, "2 images of 8 x 8 pixels"),
        ("clip", 2, "2 images of 8 x 8 pixels and texts of 12 tokens"),
        ("whisper", 2, "2 sounds of 16 frames"),
    ],
)
def test_what_is_read_at_once(family: str, rows: int, read: str) -> None:
    assert sketching.read_at_once(FACTORIES[family](), sketching.Shape(rows, 24)) == read
