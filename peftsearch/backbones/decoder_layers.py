"""What families of decoders share: how a layer's attention, feed-forward and norms become sites.

The stack of a decoder-only model is called ``decoder``. Keys and values of grouped queries have
fewer heads than the queries; :attr:`SiteHost.num_heads` counts those of the keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from peftsearch.catalogue import method_facts
from peftsearch.methods.base import SiteHost
from peftsearch.site import Site

STACK = "decoder"


def attention_site(
    index: int,
    core: Any,
    maps: Mapping[str, nn.Module],
    key_norm: nn.Module | None,
    widths: tuple[int, ...] = (),
) -> SiteHost:
    """Return the attention of a layer.

    Args:
        index: Number of the layer.
        core: The module that calls the attention function; its ``config`` knows the heads.
        maps: Its linear maps by name.
        key_norm: The norm whose output the keys are computed from, if there is one.
        widths: How many outputs of a fused map are queries, keys and values; a third each by
            default.
    """
    config = core.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    site = Site(STACK, index, "attention", tuple(maps))
    return SiteHost(site, maps, core, heads, key_norm, widths)


def projections(core: Any, output: str = "o_proj") -> dict[str, nn.Module]:
    """Return the four maps of an attention that keeps them apart."""
    maps = {"q": core.q_proj, "k": core.k_proj, "v": core.v_proj}
    return {**maps, "o": getattr(core, output)}


def head_norms(core: Any, query: str = "q_norm", key: str = "k_norm") -> dict[str, nn.Module]:
    """Return the norms of queries and keys; none where the model has none."""
    there = {"q_norm": getattr(core, query, None), "k_norm": getattr(core, key, None)}
    return {name: norm for name, norm in there.items() if norm is not None}


def gated(dense: Any) -> dict[str, nn.Module]:
    """Return the maps of a feed-forward ``down(act(gate x) * (up x))``."""
    return {"up": dense.up_proj, "gate": dense.gate_proj, "down": dense.down_proj}


def refusing_site(index: int, part: str, reason: str) -> SiteHost:
    """Return a part of a layer that has no place for any method, and says why."""
    refused = dict.fromkeys(method_facts(), reason)
    return SiteHost(Site(STACK, index, part, (), refused), {})


def plain_site(index: int, part: str, modules: Mapping[str, nn.Module]) -> SiteHost:
    """Return the feed-forward or the norms of a layer."""
    return SiteHost(Site(STACK, index, part, tuple(modules)), modules)


def base_of(model: nn.Module) -> Any:
    """Return the model under its head, or the model itself."""
    return getattr(model, str(model.base_model_prefix), model)
