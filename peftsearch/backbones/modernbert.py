"""ModernBERT: a pre-norm encoder with rotary positions, local and global attention, no biases.

Queries, keys and values come out of one map. So do the two halves of the gated feed-forward: that
map is called ``up``, and its outputs are first those under the activation, then the factors beside
them. The first layer has no norm in front of its attention.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from peftsearch.methods.base import SiteHost
from peftsearch.site import Site

MODEL_TYPES = ("modernbert",)


def hosts(model: nn.Module) -> list[SiteHost]:
    """Return the sites of the encoder in the order of the forward pass."""
    base: Any = getattr(model, str(model.base_model_prefix), model)
    found: list[SiteHost] = []
    for index, layer in enumerate(base.layers):
        found += _layer(index, layer, base.embeddings.norm)
    return found


def _layer(index: int, layer: Any, embedding_norm: nn.Module) -> list[SiteHost]:
    core, bare = layer.attn, isinstance(layer.attn_norm, nn.Identity)
    attention = {"qkv": core.Wqkv, "o": core.Wo}
    feed_forward = {"up": layer.mlp.Wi, "down": layer.mlp.Wo}
    norms = {"feed_forward": layer.mlp_norm}
    if not bare:
        norms = {"attention": layer.attn_norm, **norms}
    return [
        SiteHost(
            Site("encoder", index, "attention", tuple(attention)),
            attention,
            core=core,
            num_heads=core.config.num_attention_heads,
            key_norm=embedding_norm if bare else layer.attn_norm,
        ),
        SiteHost(Site("encoder", index, "feed_forward", tuple(feed_forward)), feed_forward),
        SiteHost(Site("encoder", index, "norm", tuple(norms)), norms),
    ]
