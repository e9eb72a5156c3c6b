"""Gemma 1, 2 and 3 (text): rotary positions, grouped queries, gated feed-forward.

Gemma's norms multiply by one plus their weight. Gemma 2 and 3 have a norm behind each part too,
before the residual sum; Gemma 3 norms queries and keys. Layers with a window alternate with full
ones in both.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from peftsearch.backbones.decoder_layers import (
    attention_site,
    base_of,
    gated,
    head_norms,
    plain_site,
    projections,
)
from peftsearch.methods.base import SiteHost

MODEL_TYPES = ("gemma", "gemma2", "gemma3_text")
DECODER = True


def hosts(model: nn.Module) -> list[SiteHost]:
    """Return the sites of the decoder in the order of the forward pass."""
    found: list[SiteHost] = []
    for index, layer in enumerate(base_of(model).layers):
        core, norm = layer.self_attn, layer.input_layernorm
        found += [
            attention_site(index, core, projections(core), norm),
            plain_site(index, "feed_forward", gated(layer.mlp)),
            plain_site(index, "norm", _norms(layer)),
        ]
    return found


def _norms(layer: Any) -> dict[str, nn.Module]:
    if not hasattr(layer, "pre_feedforward_layernorm"):  # the first Gemma
        both = {"attention": layer.input_layernorm, "feed_forward": layer.post_attention_layernorm}
        return both
    return {
        "attention": layer.input_layernorm,
        **head_norms(layer.self_attn),
        "attention_out": layer.post_attention_layernorm,
        "feed_forward": layer.pre_feedforward_layernorm,
        "feed_forward_out": layer.post_feedforward_layernorm,
    }
