"""DistilBERT: a post-norm encoder with half of BERT's layers and names of its own."""

from __future__ import annotations

from typing import Any

from torch import nn

from peftsearch.methods.base import SiteHost
from peftsearch.site import Site

MODEL_TYPES = ("distilbert",)


def hosts(model: nn.Module) -> list[SiteHost]:
    """Return the sites of the encoder in the order of the forward pass."""
    base: Any = getattr(model, str(model.base_model_prefix), model)
    found: list[SiteHost] = []
    incoming = base.embeddings.LayerNorm
    for index, layer in enumerate(base.transformer.layer):
        found += _layer(index, layer, incoming)
        incoming = layer.output_layer_norm
    return found


def _layer(index: int, layer: Any, incoming: nn.Module) -> list[SiteHost]:
    core = layer.attention
    attention = {"q": core.q_lin, "k": core.k_lin, "v": core.v_lin, "o": core.out_lin}
    feed_forward = {"up": layer.ffn.lin1, "down": layer.ffn.lin2}
    norms = {"attention": layer.sa_layer_norm, "feed_forward": layer.output_layer_norm}
    site = Site("encoder", index, "attention", tuple(attention))
    return [
        SiteHost(site, attention, core=core, num_heads=core.n_heads, key_norm=incoming),
        SiteHost(Site("encoder", index, "feed_forward", tuple(feed_forward)), feed_forward),
        SiteHost(Site("encoder", index, "norm", tuple(norms)), norms),
    ]
