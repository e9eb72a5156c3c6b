"""CLIP and SigLIP: a tower for texts and one for images, of the same pre-norm layers.

Each tower is a stack of its own, ``text`` and ``vision``, so sites, gates and figures tell them
apart. What compares the towers (projections, pooling heads, scale) is no layer and stays frozen.
Models with one of the towers alone, such as those that classify images, have its stack alone.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from peftsearch.methods.base import SiteHost
from peftsearch.site import Site

MODEL_TYPES = ("clip", "siglip")
_STACKS = ("vision", "text")  # in the order of the forward pass


def hosts(model: nn.Module) -> list[SiteHost]:
    """Return the sites of the vision tower, then those of the text tower.

    The score of a pair compares a row with all others of its batch, so where there are both
    towers all rows run the same.
    """
    towers = {stack: getattr(model, f"{stack}_model", None) for stack in _STACKS}
    there: dict[str, Any] = {stack: tower for stack, tower in towers.items() if tower is not None}
    if not there:  # a tower by itself
        stack = "text" if hasattr(model.config, "vocab_size") else "vision"
        there = {stack: model}
    return [
        host
        for stack, tower in there.items()
        for index, layer in enumerate(tower.encoder.layers)
        for host in _layer(stack, index, layer, len(there) > 1)
    ]


def _layer(stack: str, index: int, layer: Any, compared: bool) -> list[SiteHost]:
    core = layer.self_attn
    attention = {"q": core.q_proj, "k": core.k_proj, "v": core.v_proj, "o": core.out_proj}
    feed_forward = {"up": layer.mlp.fc1, "down": layer.mlp.fc2}
    norms = {"attention": layer.layer_norm1, "feed_forward": layer.layer_norm2}
    return [
        SiteHost(
            Site(stack, index, "attention", tuple(attention)),
            attention,
            core=core,
            num_heads=core.num_heads,
            key_norm=layer.layer_norm1,
            rows_alike=compared,
        ),
        SiteHost(
            Site(stack, index, "feed_forward", tuple(feed_forward)),
            feed_forward,
            rows_alike=compared,
        ),
        SiteHost(Site(stack, index, "norm", tuple(norms)), norms, rows_alike=compared),
    ]
