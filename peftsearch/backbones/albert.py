"""ALBERT: a post-norm encoder that runs through few layers again and again.

A layer of a site id is one that the checkpoint holds: ``albert-base-v2`` has twelve passes through
one layer, and sites of layer 0 alone. What is inserted there acts in every pass and is counted
once, as the backbone's own weights are.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from peftsearch.methods.base import SiteHost
from peftsearch.site import Site

MODEL_TYPES = ("albert",)


def hosts(model: nn.Module) -> list[SiteHost]:
    """Return the sites of the encoder in the order in which the forward pass first meets them."""
    base: Any = getattr(model, str(model.base_model_prefix), model)
    layers = [x for group in base.encoder.albert_layer_groups for x in group.albert_layers]
    passes = base.config.num_hidden_layers // base.config.num_hidden_groups
    return [host for index, layer in enumerate(layers) for host in _layer(index, layer, passes)]


def _layer(index: int, layer: Any, passes: int) -> list[SiteHost]:
    """Return the sites of one layer.

    Its keys come from the norm at its own end, in all passes but perhaps the first.
    """
    core = layer.attention
    attention = {"q": core.query, "k": core.key, "v": core.value, "o": core.dense}
    feed_forward = {"up": layer.ffn, "down": layer.ffn_output}
    norms = {"attention": core.LayerNorm, "feed_forward": layer.full_layer_layer_norm}
    return [
        SiteHost(
            Site("encoder", index, "attention", tuple(attention)),
            attention,
            core=core,
            num_heads=core.num_attention_heads,
            key_norm=layer.full_layer_layer_norm,
            passes=passes,
        ),
        SiteHost(
            Site("encoder", index, "feed_forward", tuple(feed_forward)),
            feed_forward,
            passes=passes,
        ),
        SiteHost(Site("encoder", index, "norm", tuple(norms)), norms, passes=passes),
    ]
