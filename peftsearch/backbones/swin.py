"""Swin: a pre-norm encoder whose attention stays within windows of an image.

Layers are numbered through all stages, which differ in width and in tokens. The norm in front of a
patch merging belongs to the last layer of the stage before it.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil
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
    height, width = _patches(base.config)
    for stage in base.encoder.layers:
        merged = ceil(height / 2), ceil(width / 2)
        for place, layer in enumerate(stage.blocks, start=1):
            last = place == len(stage.blocks) and stage.downsample is not None
            merging = {"merging": stage.downsample.norm} if last else {}
            attention, feed_forward, norm = layer_hosts(index, layer, merging)
            beside = ((stage.downsample.reduction, merged[0] * merged[1]),) if last else ()
            tokens = height * width
            found += [
                _in_windows(attention, base.config.window_size, height, width),
                replace(feed_forward, tokens=tokens),
                replace(norm, tokens=tokens, beside=beside),
            ]
            index += 1
        height, width = merged
    return found


def _patches(config: Any) -> tuple[int, int]:
    """Return how many patches an image has in each direction; the last ones are filled up."""
    (height, width), (high, wide) = map(_both, (config.image_size, config.patch_size))
    return ceil(height / high), ceil(width / wide)


def _both(size: Any) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


def _in_windows(attention: SiteHost, window: int, height: int, width: int) -> SiteHost:
    """Return the host of an attention within windows, which fill up the patches."""
    side = min(window, height, width)
    tokens = side * ceil(height / side) * side * ceil(width / side)
    return replace(attention, tokens=tokens, attended=side * side)
