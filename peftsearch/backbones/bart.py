"""BART, mBART and their kin: encoder-decoders with biases, and positions learned or sinusoidal.

The norms of BART, PLBART, BlenderBot-small and Marian stand behind each part; those of mBART,
Pegasus, M2M-100 (NLLB) and BlenderBot in front of it and once more at the end of a stack. The
feed-forward's two maps stand on the layer itself. Of the first family, Marian has no norm behind
its embeddings; of the second, mBART alone has one.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from peftsearch.methods.base import SiteHost
from peftsearch.site import Site

MODEL_TYPES = (
    "bart",
    "mbart",
    "pegasus",
    "marian",
    "m2m_100",
    "blenderbot",
    "blenderbot-small",
    "plbart",
)
ENCODER_DECODER = True
_MAPS = ("q", "k", "v", "o")


def hosts(model: nn.Module) -> list[SiteHost]:
    """Return the sites of the stacks that are there, in the order of the forward pass."""
    bart: Any = getattr(model, str(model.base_model_prefix), model)
    found: list[SiteHost] = []
    memory_norm: nn.Module | None = None
    for name in ("encoder", "decoder"):
        stack: Any = getattr(bart, name, None)
        if stack is None:  # a causal language model is a decoder alone
            continue
        in_front = hasattr(stack, "layer_norm")
        incoming = getattr(stack, "layernorm_embedding", None)
        for index, layer in enumerate(stack.layers):
            key_norm = layer.self_attn_layer_norm if in_front else incoming
            found += _layer(name, index, layer, key_norm, memory_norm)
            incoming = layer.final_layer_norm
        memory_norm = stack.layer_norm if in_front else incoming
    return found


def _layer(
    stack: str, index: int, layer: Any, key_norm: nn.Module | None, memory_norm: nn.Module | None
) -> list[SiteHost]:
    """Return the sites of one layer; without an encoder, its cross-attention never runs."""
    norms = {"attention": layer.self_attn_layer_norm}
    found = [_attention(Site(stack, index, "attention", _MAPS), layer.self_attn, key_norm)]
    if memory_norm is not None:
        norms["cross_attention"] = layer.encoder_attn_layer_norm
        site = Site(stack, index, "cross_attention", _MAPS)
        found.append(_attention(site, layer.encoder_attn, memory_norm))
    norms["feed_forward"] = layer.final_layer_norm
    maps = {"up": layer.fc1, "down": layer.fc2}
    found.append(SiteHost(Site(stack, index, "feed_forward", tuple(maps)), maps))
    found.append(SiteHost(Site(stack, index, "norm", tuple(norms)), norms))
    return found


def _attention(site: Site, core: Any, key_norm: nn.Module | None) -> SiteHost:
    maps = dict(zip(_MAPS, (core.q_proj, core.k_proj, core.v_proj, core.out_proj), strict=True))
    return SiteHost(site, maps, core=core, num_heads=core.num_heads, key_norm=key_norm)
