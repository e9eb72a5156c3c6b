"""Mixtures of experts: Mixtral and OLMoE. Attention and norms are sites, experts are not.

transformers keeps the weights of all experts of a layer in one tensor and calls no linear map
there, so there is nothing that a method could attach to.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from peftsearch.backbones.decoder_layers import (
    attention_site,
    base_of,
    head_norms,
    plain_site,
    projections,
    refusing_site,
)
from peftsearch.methods.base import SiteHost

MODEL_TYPES = ("mixtral", "olmoe")
DECODER = True
_EXPERTS = (
    "the experts of a layer are one tensor and no linear maps, and a router sends each token to a "
    "few of them, so that nothing can be attached"
)


def hosts(model: nn.Module) -> list[SiteHost]:
    """Return the sites of the decoder in the order of the forward pass."""
    found: list[SiteHost] = []
    for index, layer in enumerate(base_of(model).layers):
        core: Any = layer.self_attn
        norm, after = layer.input_layernorm, layer.post_attention_layernorm
        norms = {"attention": norm, **head_norms(core), "feed_forward": after}
        found += [
            attention_site(index, core, projections(core), norm),
            refusing_site(index, "feed_forward", _EXPERTS),
            plain_site(index, "norm", norms),
        ]
    return found
