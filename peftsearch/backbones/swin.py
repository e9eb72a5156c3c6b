"""Swin: a pre-norm encoder whose attention stays within windows of an image.

Layers are numbered through all stages, which differ in width. The norm in front of a patch merging
belongs to the last layer of the stage before it.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from peftsearch.backbones.vit import layer_hosts
from peftsearch.methods.base import SiteHost

MODEL_TYPES = ("swin",)


def hosts(model: nn.Module) -> list[SiteHost]:
    """Return the sites of the encoder in the order of the forward pass."""
    base: Any = getattr(model, str(model.base_model_prefix), model)
    found: list[SiteHost] = []
    index = 0
    for stage in base.encoder.layers:
        for place, layer in enumerate(stage.blocks, start=1):
            last = place == len(stage.blocks) and stage.downsample is not None
            merging = {"merging": stage.downsample.norm} if last else {}
            found += layer_hosts(index, layer, merging)
            index += 1
    return found
