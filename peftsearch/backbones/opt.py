"""OPT: learned positions, biases, ReLU; norms in front of each part, in OPT-350m behind it.

The feed-forward sees the rows of a batch one below the other, as (B * T, D).
"""

from __future__ import annotations

from typing import Any

from torch import nn

from peftsearch.backbones.decoder_layers import attention_site, plain_site, projections
from peftsearch.methods.base import SiteHost

MODEL_TYPES = ("opt",)
DECODER = True


def hosts(model: nn.Module) -> list[SiteHost]:
    """Return the sites of the decoder in the order of the forward pass."""
    base: Any = model
    while not hasattr(base, "layers"):
        base = getattr(base, "decoder", None) or base.model
    found: list[SiteHost] = []
    incoming: nn.Module | None = None  # of OPT-350m: what comes out of the layer below
    for index, layer in enumerate(base.layers):
        core, norm, last = layer.self_attn, layer.self_attn_layer_norm, layer.final_layer_norm
        maps = {"up": layer.fc1, "down": layer.fc2}
        key_norm = norm if layer.do_layer_norm_before else incoming
        found += [
            attention_site(index, core, projections(core, "out_proj"), key_norm),
            plain_site(index, "feed_forward", maps),
            plain_site(index, "norm", {"attention": norm, "feed_forward": last}),
        ]
        incoming = last
    return found
