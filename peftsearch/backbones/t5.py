"""T5 and its kin: T5, T5 v1.1, Flan-T5, mT5, umT5, ByT5 and LongT5.

Encoder and decoder layers, cross-attention, plain and gated feed-forward, key width that need
not be width / heads, tied embeddings. LongT5's encoder attends within blocks, and to averages of
blocks too in its transient-global form; the norm of these averages belongs to no site.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from peftsearch.methods.base import SiteHost
from peftsearch.site import Site

MODEL_TYPES = ("t5", "mt5", "umt5", "longt5")
ENCODER_DECODER = True
#: What a block calls its own attention.
_OWN = ("SelfAttention", "LocalSelfAttention", "TransientGlobalSelfAttention")
_IN_BLOCKS = {"prefix": "LongT5's encoder attends within blocks of its own, which take no prefix"}


def hosts(model: nn.Module) -> list[SiteHost]:
    """Return the sites of the stacks that are there, in the order of the forward pass."""
    t5: Any = getattr(model, str(model.base_model_prefix), model)
    found: list[SiteHost] = []
    for stack in ("encoder", "decoder"):
        for index, block in enumerate(getattr(getattr(t5, stack, None), "block", ())):
            found += _layer(stack, index, block, t5.encoder.final_layer_norm)
    return found


def _layer(stack: str, index: int, block: Any, memory_norm: nn.Module) -> list[SiteHost]:
    own_norm = block.layer[0].layer_norm
    found, norms = [], {"attention": own_norm}
    core = next(getattr(block.layer[0], name) for name in _OWN if hasattr(block.layer[0], name))
    found.append(_attention(stack, index, "attention", core, own_norm))
    if stack == "decoder":
        cross = block.layer[1]
        norms["cross_attention"] = cross.layer_norm
        found.append(
            _attention(stack, index, "cross_attention", cross.EncDecAttention, memory_norm)
        )
    norms["feed_forward"] = block.layer[-1].layer_norm
    dense = block.layer[-1].DenseReluDense
    if hasattr(dense, "wi"):
        modules = {"up": dense.wi, "down": dense.wo}
    else:  # gated: act(gate x) * (up x)
        modules = {"up": dense.wi_1, "gate": dense.wi_0, "down": dense.wo}
    found.append(SiteHost(Site(stack, index, "feed_forward", tuple(modules)), modules))
    found.append(SiteHost(Site(stack, index, "norm", tuple(norms)), norms))
    return found


def _attention(stack: str, index: int, part: str, core: Any, key_norm: nn.Module) -> SiteHost:
    modules = {name: getattr(core, name) for name in ("q", "k", "v", "o")}
    refused = {} if hasattr(core, "config") else _IN_BLOCKS
    site = Site(stack, index, part, tuple(modules), refused)
    return SiteHost(site, modules, core=core, num_heads=core.n_heads, key_norm=key_norm)
