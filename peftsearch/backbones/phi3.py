"""Phi-3 and Phi-3.5: Llama's layers with two fused maps.

Queries, keys and values come out of one map, ``qkv``; gate and up projection out of another one,
which is called ``up`` here, so that a method on both is there once.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from peftsearch.backbones.decoder_layers import attention_site, base_of, plain_site
from peftsearch.methods.base import SiteHost

MODEL_TYPES = ("phi3",)
DECODER = True


def hosts(model: nn.Module) -> list[SiteHost]:
    """Return the sites of the decoder in the order of the forward pass."""
    found: list[SiteHost] = []
    for index, layer in enumerate(base_of(model).layers):
        core, norm = layer.self_attn, layer.input_layernorm
        maps = {"qkv": core.qkv_proj, "o": core.o_proj}
        dense = {"up": layer.mlp.gate_up_proj, "down": layer.mlp.down_proj}
        norms = {"attention": norm, "feed_forward": layer.post_attention_layernorm}
        found += [
            attention_site(index, core, maps, norm, _widths(core)),
            plain_site(index, "feed_forward", dense),
            plain_site(index, "norm", norms),
        ]
    return found


def _widths(core: Any) -> tuple[int, int, int]:
    """Return how many outputs of the fused map are queries, keys and values."""
    keys = core.config.num_key_value_heads * core.head_dim
    return core.config.num_attention_heads * core.head_dim, keys, keys
