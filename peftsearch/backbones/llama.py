"""Llama and its kin: Llama, Mistral, Qwen2 and Qwen3.

Rotary positions, grouped queries, gated feed-forward, norms in front of each part. Qwen2 has
biases at queries, keys and values; Qwen3 norms queries and keys head by head; Mistral and Qwen may
look back over a window only.
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

MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3")
DECODER = True


def hosts(model: nn.Module) -> list[SiteHost]:
    """Return the sites of the decoder in the order of the forward pass."""
    found: list[SiteHost] = []
    for index, layer in enumerate(base_of(model).layers):
        found += _layer(index, layer)
    return found


def _layer(index: int, layer: Any) -> list[SiteHost]:
    core, norm = layer.self_attn, layer.input_layernorm
    norms = {
        "attention": norm,
        **head_norms(core),
        "feed_forward": layer.post_attention_layernorm,
    }
    return [
        attention_site(index, core, projections(core), norm),
        plain_site(index, "feed_forward", gated(layer.mlp)),
        plain_site(index, "norm", norms),
    ]
