"""The sites of Whisper, and what its keys without biases mean."""

from __future__ import annotations

from typing import Any

import torch

from peftsearch import testing
from peftsearch.backbones.base import wrap
from peftsearch.injection import apply, insertions_of
from peftsearch.site import PARTS
from tests.models import FACTORIES, inputs


def test_sites_of_a_whisper() -> None:
    backbone = wrap("test", FACTORIES["whisper"](encoder_layers=3, decoder_layers=1))
    ids = [site.id for site in backbone.sites]
    encoder = [f"encoder.{i:02d}.{p}" for i in range(3) for p in ("attention", *PARTS[2:])]
    assert ids == [*encoder, *(f"decoder.00.{part}" for part in PARTS)]
    by_id = {host.site.id: host for host in backbone.hosts}
    model: Any = backbone.model.model
    # What comes into cross-attention's keys is the encoder's last norm.
    assert by_id["decoder.00.cross_attention"].key_norm is model.encoder.layer_norm
    assert by_id["decoder.00.attention"].key_norm is model.decoder.layers[0].self_attn_layer_norm
    assert by_id["encoder.02.norm"].site.modules == ("attention", "feed_forward")


@torch.no_grad()
def test_a_prefix_begins_at_keys_without_a_bias() -> None:
    """All inputs of a fresh prefix on a norm of zeros with a bias b are b: so are all keys."""
    model = FACTORIES["whisper"]()
    attention = model.model.encoder.layers[0].self_attn
    norm = model.model.encoder.layers[0].self_attn_layer_norm
    norm.weight.zero_()
    backbone = wrap("test", model)
    choices = [
        c for c in testing.choices_for(backbone, "prefix") if c.site == "encoder.00.attention"
    ]
    apply(model, testing.architecture_of(backbone, choices))
    (insertion,) = insertions_of(model)
    prefix: Any = insertion.layers["core"]
    key = attention.k_proj.weight @ norm.bias
    value = attention.v_proj.weight @ norm.bias + attention.v_proj.bias
    torch.testing.assert_close(prefix.key, key.expand_as(prefix.key))
    torch.testing.assert_close(prefix.value, value.expand_as(prefix.value))


@torch.no_grad()
def test_a_bias_of_keys_changes_nothing_without_a_prefix() -> None:
    """It adds the same to all scores of a query: why Whisper has none."""
    model = FACTORIES["whisper"]()
    backbone = wrap("test", model)
    batch = inputs(model)
    before = model(**batch).logits
    choices = [c for c in testing.choices_for(backbone, "bitfit") if "attention" in c.site]
    apply(model, testing.architecture_of(backbone, choices))
    for insertion in insertions_of(model):
        for name, parameter in insertion.tensors():
            parameter.copy_(torch.randn_like(parameter) if "/k/" in name else parameter)
    names = [name for i in insertions_of(model) for name, _ in i.tensors()]
    assert any("/k/" in name for name in names)
    torch.testing.assert_close(model(**batch).logits, before, rtol=1e-4, atol=1e-4)
