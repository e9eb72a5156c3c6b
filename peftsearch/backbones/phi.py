"""Phi-1, Phi-1.5 and Phi-2: attention and feed-forward side by side behind one norm."""

from __future__ import annotations

from torch import nn

from peftsearch.backbones.decoder_layers import (
    attention_site,
    base_of,
    head_norms,
    plain_site,
    projections,
)
from peftsearch.methods.base import SiteHost

MODEL_TYPES = ("phi",)
DECODER = True


def hosts(model: nn.Module) -> list[SiteHost]:
    """Return the sites of the decoder; a layer's one norm feeds both of its parts."""
    found: list[SiteHost] = []
    for index, layer in enumerate(base_of(model).layers):
        core, norm = layer.self_attn, layer.input_layernorm
        maps = {"up": layer.mlp.fc1, "down": layer.mlp.fc2}
        norms = {"attention": norm, **head_norms(core, "q_layernorm", "k_layernorm")}
        found += [
            attention_site(index, core, projections(core, "dense"), norm),
            plain_site(index, "feed_forward", maps),
            plain_site(index, "norm", norms),
        ]
    return found
