"""Decoders with every method: the cache and padding on either side change nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from peftsearch import testing
from peftsearch.backbones.base import wrap
from peftsearch.catalogue import method_facts
from peftsearch.formats import CausalGeneration, make_format
from peftsearch.injection import apply, insertions_of
from tests.decoder_models import DECODERS
from tests.models import FACTORIES
from tests.unit.formats.decoder_material import byte_tokenizer, decoder
from tests.unit.formats.test_causal import PAIRS, WRITE

METHODS = [name for name in method_facts() if name != "none"]
WRITERS = [name for name in DECODERS if not name.endswith("classifier")]
CLASSIFIERS = [name for name in DECODERS if name.endswith("classifier")]
#: What makes a difference to a cache: absolute and rotary positions, windows, fused maps.
CACHED = ("gpt2", "opt", "llama", "mistral", "gemma3", "phi3")
WINDOWED = ("mistral", "qwen2", "gemma2", "gemma3")


def adapted(model: Any, *methods: str) -> Any:
    """Return a model with methods everywhere, their weights as if trained."""
    backbone = wrap("test", model)
    choices = [c for method in methods for c in testing.choices_for(backbone, method)]
    apply(model, testing.architecture_of(backbone, choices))
    testing.draw(insertions_of(model))
    return model.eval()


@torch.no_grad()
def alone(model: Any, prompt: list[int], end: int, most: int) -> list[int]:
    """Write token by token, each from the whole text, without a cache and without padding."""
    ids = list(prompt)
    while len(ids) < len(prompt) + most:
        token = int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
        if token == end:
            break
        ids.append(token)
    return ids[len(prompt) :]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", CACHED)
def test_what_is_written_with_a_cache_is_what_is_written_without(family: str, method: str) -> None:
    tokenizer, model = byte_tokenizer(), adapted(decoder(family), method)
    form = make_format(WRITE, tokenizer, model.config)
    assert isinstance(form, CausalGeneration)
    features = form.features(PAIRS)
    texts = form.predict(model, form.collate(features))
    assert texts == form.predict(model, form.collate(features))
    for feature, text in zip(features, texts, strict=True):
        prompt = feature.inputs["input_ids"][: feature.target.count(-100)]  # type: ignore[union-attr]
        wanted = alone(model, prompt, form.end, form.max_target_length)
        assert text == tokenizer.decode(wanted, skip_special_tokens=True).strip()


@pytest.mark.parametrize("family", WRITERS)
@torch.no_grad()
def test_logits_with_a_cache_are_those_without(family: str) -> None:
    """All methods at once; the text is fed in three pieces."""
    model = adapted(FACTORIES[family](), *METHODS)
    ids = torch.randint(3, 50, (2, 9), generator=torch.Generator().manual_seed(1))
    wanted = model(ids, use_cache=False).logits
    cache, found = DynamicCache(config=model.config), []
    for piece in ids.split([4, 1, 4], dim=1):
        found.append(model(piece, past_key_values=cache, use_cache=True).logits)
    torch.testing.assert_close(torch.cat(found, 1), wanted, rtol=1e-4, atol=1e-4)


def padded(ids: Tensor, amount: int, *, left: bool) -> dict[str, Tensor]:
    """Pad a row on one side, with the positions of its tokens kept."""
    pad, zeros = torch.zeros(1, amount, dtype=torch.long), torch.zeros(1, amount)
    parts = ((pad, ids), (zeros, torch.ones(ids.shape)))
    batch = [torch.cat(two if left else two[::-1], dim=1).long() for two in parts]
    positions = (batch[1].cumsum(1) - 1).clamp(min=0)
    return {"input_ids": batch[0], "attention_mask": batch[1], "position_ids": positions}


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("family", DECODERS)
@torch.no_grad()
def test_padding_changes_nothing(family: str, left: bool) -> None:
    """All methods at once; a classifier reads its last token on either side."""
    model = adapted(FACTORIES[family](), *METHODS)
    ids = torch.randint(3, 50, (1, 6), generator=torch.Generator().manual_seed(1))
    wanted = model(ids, attention_mask=torch.ones_like(ids)).logits
    batch = padded(ids, 3, left=left)
    found = model(**batch).logits
    if family not in CLASSIFIERS:
        found = found[batch["attention_mask"] == 1][None]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", [name for name in WRITERS if name not in WINDOWED])
@torch.no_grad()
def test_a_prefix_is_a_cache_that_was_there_before(family: str) -> None:
    """As Hugging Face PEFT does it, with the positions of the text left where they are.

    In a cache, a window would leave the prefix behind; ours stays in view.
    """
    model = FACTORIES[family]()
    ids = torch.randint(3, 50, (2, 5), generator=torch.Generator().manual_seed(1))
    plain = FACTORIES[family]()
    adapted(model, "prefix")
    found = model(ids).logits
    cache = DynamicCache(config=plain.config)
    for layer, insertion in enumerate(insertions_of(model)):
        prefix: Any = insertion.layers["core"]
        cache.update(*prefix.heads(2, torch.float32), layer)
    size = insertions_of(model)[0].choice.size
    wanted = plain(
        ids,
        past_key_values=cache,
        attention_mask=torch.ones(2, size + 5),
        position_ids=torch.arange(5).expand(2, -1),
    ).logits
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
