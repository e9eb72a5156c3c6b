"""DeBERTa, DeBERTa-v2 and -v3: post-norm encoders with disentangled attention.

The first DeBERTa computes queries, keys and values in one map, head by head. Later ones may send
the relative positions through the maps of queries and keys too (``share_att_key``, as published
checkpoints do): what is inserted there acts on both, as a change of the weight would. Maps of
relative positions alone, and the convolution of some checkpoints, belong to no site.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from peftsearch.methods.base import SiteHost
from peftsearch.site import Site

MODEL_TYPES = ("deberta", "deberta-v2")
_REFUSED = {
    "prefix": "disentangled attention scores every key by its position too, and a prefix has none"
}


def hosts(model: nn.Module) -> list[SiteHost]:
    """Return the sites of the encoder in the order of the forward pass."""
    base: Any = getattr(model, str(model.base_model_prefix), model)
    layers = enumerate(base.encoder.layer)
    return [host for index, layer in layers for host in _layer(index, layer)]


def _layer(index: int, layer: Any) -> list[SiteHost]:
    core, output = layer.attention.self, layer.attention.output
    if hasattr(core, "in_proj"):
        attention = {"qkv": core.in_proj, "o": output.dense}
    else:
        maps = {"q": core.query_proj, "k": core.key_proj, "v": core.value_proj}
        attention = {**maps, "o": output.dense}
    feed_forward = {"up": layer.intermediate.dense, "down": layer.output.dense}
    norms = {"attention": output.LayerNorm, "feed_forward": layer.output.LayerNorm}
    return [
        SiteHost(
            Site("encoder", index, "attention", tuple(attention), _REFUSED),
            attention,
            core=core,
            num_heads=core.num_attention_heads,
            rows_alike=core.relative_attention and getattr(core, "share_att_key", False),
        ),
        SiteHost(Site("encoder", index, "feed_forward", tuple(feed_forward)), feed_forward),
        SiteHost(Site("encoder", index, "norm", tuple(norms)), norms),
    ]
