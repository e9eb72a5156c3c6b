"""A small pretrained BART (spelling to phonemes), where a folder of real models is at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from peftsearch import testing
from peftsearch.architecture import Choice
from peftsearch.backbones.base import Backbone
from peftsearch.backbones.loading import load_backbone, sketch_backbone
from peftsearch.catalogue import method_facts
from peftsearch.injection import apply, insertions_of, unapply
from peftsearch.site import PARTS

METHODS = [name for name in method_facts() if name != "none"]
WORDS = ("language", "knight", "phoneme")
SETTINGS: dict[str, Any] = {"max_new_tokens": 20, "do_sample": False}


@pytest.fixture
def folder(shared: Path) -> Path:
    found = shared / "models" / "g2p-bart-us"
    if not found.is_dir():
        pytest.skip("no folder models/g2p-bart-us under that of real data")
    return found


@pytest.fixture
def backbone(folder: Path) -> Backbone:
    return load_backbone(str(folder), 2)


def _batch(backbone: Backbone) -> dict[str, Tensor]:
    encoded = backbone.reader(list(WORDS), padding=True, return_tensors="pt")
    return {name: encoded[name] for name in ("input_ids", "attention_mask")}


def _applied(backbone: Backbone, choices: Sequence[Choice]) -> Any:
    return apply(backbone.model, testing.architecture_of(backbone, choices))


def test_what_is_counted(folder: Path, backbone: Backbone) -> None:
    """One embedding serves encoder, decoder and language-model head, and counts once."""
    model, width, inner, tokens, places = backbone.model, 128, 1024, 63, 64
    assert model.lm_head.weight is model.model.shared.weight
    assert model.model.encoder.embed_tokens.weight is model.model.shared.weight
    assert model.model.decoder.embed_tokens.weight is model.model.shared.weight
    norm, attention = 2 * width, 4 * (width * width + width)
    feed_forward = (width * inner + inner) + (inner * width + width)
    encoder = attention + feed_forward + 2 * norm
    decoder = 2 * attention + feed_forward + 3 * norm
    around = 2 * ((places + 2) * width + norm)  # BART's positions start at two
    wanted = tokens * width + around + encoder + decoder
    assert backbone.num_parameters == wanted == 751_488
    assert backbone.num_head_parameters == 0
    planned = sketch_backbone(str(folder), 2)
    assert planned.num_parameters == wanted
    assert planned.sites == backbone.sites


def test_its_sites(backbone: Backbone) -> None:
    encoder = [f"encoder.00.{part}" for part in ("attention", *PARTS[2:])]
    assert [s.id for s in backbone.sites] == [*encoder, *(f"decoder.00.{p}" for p in PARTS)]


@pytest.mark.parametrize("method", METHODS)
def test_a_step_of_every_method(backbone: Backbone, method: str) -> None:
    """One small step towards repeating the spelling lowers the loss, and the backbone stays."""
    model = backbone.model
    frozen = {name: p.detach().clone() for name, p in model.named_parameters()}
    _applied(backbone, testing.choices_for(backbone, method, 4))
    batch = {**_batch(backbone), "labels": _batch(backbone)["input_ids"]}
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    model.eval()
    before = model(**batch).loss
    before.backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in trained)
    optimizer.step()
    with torch.no_grad():
        assert float(model(**batch).loss) < float(before)
    now = dict(model.named_parameters())
    assert all(torch.equal(now[name], tensor) for name, tensor in frozen.items())
    assert len(now) == len(frozen) + len(trained)


def test_generating_with_every_method(backbone: Backbone) -> None:
    """The cache changes nothing, and the backbone alone says again what it said."""
    model, batch = backbone.model.eval(), _batch(backbone)
    before = model.generate(**batch, **SETTINGS)
    _applied(backbone, [c for name in METHODS for c in testing.choices_for(backbone, name, 4)])
    testing.draw(insertions_of(model), std=0.1)
    cached = model.generate(**batch, **SETTINGS, use_cache=True)
    assert torch.equal(cached, model.generate(**batch, **SETTINGS, use_cache=False))
    assert cached.shape != before.shape or not torch.equal(cached, before)
    unapply(model)
    assert torch.equal(model.generate(**batch, **SETTINGS), before)
