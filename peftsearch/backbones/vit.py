"""ViT and DeiT: pre-norm encoders of the patches of an image."""

from __future__ import annotations

from typing import Any

from torch import nn

from peftsearch.methods.base import SiteHost
from peftsearch.site import Site

MODEL_TYPES = ("vit", "deit")


def hosts(model: nn.Module) -> list[SiteHost]:
    """Return the sites of the encoder in the order of the forward pass."""
    base: Any = getattr(model, str(model.base_model_prefix), model)
    return [host for index, layer in enumerate(base.layers) for host in layer_hosts(index, layer)]


def layer_hosts(
    index: int, layer: Any, more_norms: dict[str, nn.Module] | None = None
) -> list[SiteHost]:
    """Return the sites of one layer.

    Args:
        index: Its place in the stack.
        layer: The module.
        more_norms: Norms that belong to it and stand elsewhere.
    """
    core = layer.attention
    attention = {"q": core.q_proj, "k": core.k_proj, "v": core.v_proj, "o": core.o_proj}
    feed_forward = {"up": layer.mlp.fc1, "down": layer.mlp.fc2}
    norms = {"attention": layer.layernorm_before, "feed_forward": layer.layernorm_after}
    norms |= more_norms or {}
    return [
        SiteHost(
            Site("encoder", index, "attention", tuple(attention)),
            attention,
            core=core,
            num_heads=core.num_attention_heads,
            key_norm=layer.layernorm_before,
        ),
        SiteHost(Site("encoder", index, "feed_forward", tuple(feed_forward)), feed_forward),
        SiteHost(Site("encoder", index, "norm", tuple(norms)), norms),
    ]
