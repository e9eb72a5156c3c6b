"""BERT and its kin: post-norm encoders with the same module structure.

ELECTRA's small models project narrower embeddings behind their norm, so the keys of the first layer
come from no norm.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from peftsearch.methods.base import SiteHost
from peftsearch.site import Site

MODEL_TYPES = (
    "bert",
    "roberta",
    "xlm-roberta",
    "camembert",
    "electra",
    "ernie",
    "data2vec-text",
    "roc_bert",
)


def hosts(model: nn.Module) -> list[SiteHost]:
    """Return the sites of the encoder in the order of the forward pass."""
    base: Any = getattr(model, str(model.base_model_prefix), model)
    found: list[SiteHost] = []
    projected = hasattr(base, "embeddings_project")
    incoming = None if projected else base.embeddings.LayerNorm
    for index, layer in enumerate(base.encoder.layer):
        found += _layer(index, layer, incoming)
        incoming = layer.output.LayerNorm
    return found


def _layer(index: int, layer: Any, incoming: nn.Module | None) -> list[SiteHost]:
    core = layer.attention.self
    attention = {
        "q": core.query,
        "k": core.key,
        "v": core.value,
        "o": layer.attention.output.dense,
    }
    feed_forward = {"up": layer.intermediate.dense, "down": layer.output.dense}
    norms = {"attention": layer.attention.output.LayerNorm, "feed_forward": layer.output.LayerNorm}
    return [
        SiteHost(
            Site("encoder", index, "attention", tuple(attention)),
            attention,
            core=core,
            num_heads=core.num_attention_heads,
            key_norm=incoming,
        ),
        SiteHost(Site("encoder", index, "feed_forward", tuple(feed_forward)), feed_forward),
        SiteHost(Site("encoder", index, "norm", tuple(norms)), norms),
    ]
