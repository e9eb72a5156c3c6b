"""Prefix tuning of a single layer: trained keys and values before the layer's own.

The layer's attention module gets a private copy of its config that names our attention
function; masks and everything else are built from the untouched config of the model. The
function puts the prefix before keys and values (after rotary positions and cache), pads mask
and relative position bias with zeros, and calls the attention the model would have used.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from peftsearch.methods.base import SLOT, PeftLayer, PeftSlot, SiteHost, whole
from peftsearch.methods.linear_map import device_of
from peftsearch.methods.norms import scale

METHOD = {
    "name": "prefix",
    "title": "prefix",
    "order": 60,
    "modules": {"attention": ("k", "v"), "cross_attention": ("k", "v")},
    "sized": True,
    "learning_rate": 3e-2,
    "identity_at_start": "a fresh prefix takes part of the attention, whatever its values are",
    "reference": (
        "Li and Liang 2021, arXiv 2101.00190, without the reparametrisation; the start is the "
        "layer's own projection of random normed inputs, and relative position bias on the "
        "prefix is zero"
    ),
}
_NAME = "peftsearch_prefix"
#: Added to a mask of zero before its logarithm: small enough to vanish in float32, large
#: enough for the gradient of an option that is off to exist.
_TINY = 1e-30


class PrefixLayer(PeftLayer):
    """Keys and values (size, H * K) of one attention module."""

    size_dims: ClassVar[dict[str, int]] = {"key": 0, "value": 0}

    def __init__(self, host: SiteHost, size: int) -> None:
        super().__init__()
        (key, rows), (_, value_rows) = host.outputs("k"), host.outputs("v")
        device = device_of(key)
        self.num_heads = host.num_heads
        self.key = nn.Parameter(torch.empty(size, len(rows), device=device))
        self.value = nn.Parameter(torch.empty(size, len(value_rows), device=device))
        if device.type != "meta":
            self._start(host)

    @torch.no_grad()
    def _start(self, host: SiteHost) -> None:
        """Start at what the layer itself would compute for random inputs of the usual scale."""
        norm = host.key_norm
        x = torch.randn(self.key.shape[0], host.outputs("k")[0].in_features).to(self.key.device)
        if norm is not None:
            x = x * whole(scale(norm)).float()
            bias = getattr(norm, "bias", None)
            x = x if bias is None else x + whole(bias).float()
        for parameter, (linear, rows) in (
            (self.key, host.outputs("k")),
            (self.value, host.outputs("v")),
        ):
            bias = None if linear.bias is None else whole(linear.bias)[rows].float()
            parameter.copy_(functional.linear(x, whole(linear.weight)[rows].float(), bias))

    def attach(self, host: nn.Module) -> None:
        """Give the attention module its private config."""
        config: Any = host.config
        if getattr(config, "_attn_implementation", None) == _NAME:
            return
        private = copy.copy(config)
        private._attn_implementation_internal = _NAME
        private.peftsearch_config = config
        host.config = private

    def detach(self, host: nn.Module) -> None:
        """Give the attention module its own config back, unless another prefix needs it."""
        slot = host._modules[SLOT]
        assert isinstance(slot, PeftSlot)
        if sum(isinstance(layer, PrefixLayer) for layer in slot.layers.values()) == 1:
            host.config = host.config.peftsearch_config  # type: ignore[union-attr]

    def heads(self, batch: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return keys and values (B, H, size, K)."""
        shape = (1, self.key.shape[0], self.num_heads, -1)
        key, value = (p.to(dtype).view(shape).transpose(1, 2) for p in (self.key, self.value))
        return key.expand(batch, -1, -1, -1), value.expand(batch, -1, -1, -1)


def build(host: SiteHost, modules: tuple[str, ...], size: int) -> dict[str, PeftLayer]:
    """Return the prefix of one attention module.

    Raises:
        TypeError: The module has no attention interface to hook into.
    """
    if host.core is None or not hasattr(host.core, "config"):
        raise TypeError(f"{host.site.id}: this attention has no interface for prefixes")
    return {"core": PrefixLayer(host, size)}


def _prefix_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """The attention function of a module with a prefix; shapes (B, H, T, K)."""
    attend = _attention_of(module)
    layers = [x for x in module._modules[SLOT].ordered() if isinstance(x, PrefixLayer)]  # type: ignore[union-attr, operator]
    if layers:
        length = sum(layer.key.shape[0] for layer in layers)
        attention_mask = _mask(module, query, key, attention_mask, layers, kwargs)
        heads = [layer.heads(key.shape[0], key.dtype) for layer in layers]
        key = torch.cat([*(k for k, _ in heads), key], dim=2)
        value = torch.cat([*(v for _, v in heads), value], dim=2)
        bias = kwargs.get("position_bias")
        if bias is not None:  # never returned: T5 shares it with the layers above
            kwargs["position_bias"] = functional.pad(bias, (length, 0))
    return attend(module, query, key, value, attention_mask, **kwargs)


def _attention_of(module: nn.Module) -> Callable[..., tuple[Tensor, Tensor | None]]:
    """Return the attention function that the model would have used."""
    host: Any = module
    name = host.config.peftsearch_config._attn_implementation
    if name == "flex_attention":
        raise ValueError("prefix tuning does not work with flex_attention; use sdpa or eager")
    eager = sys.modules[type(module).__module__].eager_attention_forward
    return ALL_ATTENTION_FUNCTIONS.get_interface(name, eager)


def _mask(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    mask: Tensor | None,
    layers: list[PrefixLayer],
    kwargs: dict[str, Any],
) -> Tensor | None:
    """Extend the attention mask (B, 1, T, U) over the prefix columns."""
    length = sum(layer.key.shape[0] for layer in layers)
    if mask is None:
        causal = kwargs.get("is_causal")
        causal = getattr(module, "is_causal", False) if causal is None else causal
        searched = any(layer.mask is not None for layer in layers)
        if not searched and not (causal and query.shape[2] > 1):
            return None
        mask = _explicit(query, key, causal=bool(causal) and query.shape[2] > 1)
    if mask.dtype == torch.bool and all(layer.mask is None for layer in layers):
        return functional.pad(mask, (length, 0), value=True)
    if mask.dtype == torch.bool:
        least = torch.finfo(query.dtype).min
        mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill(~mask, least)
    columns = [_columns(layer, mask, len(key)) for layer in layers]
    parts = []
    rows = (*mask.shape[:-1],)
    for layer, column in zip(layers, columns, strict=True):
        if column is None:
            parts.append(mask.new_zeros(*rows, layer.key.shape[0]))
        else:
            batch = max(mask.shape[0], column.shape[0])
            mask = mask.expand(batch, -1, -1, -1)
            rows = (*mask.shape[:-1],)
            parts.append(column.to(mask.dtype).expand(*rows, -1))
    parts = [part.expand(*rows, -1) for part in parts]
    return torch.cat([*parts, mask], dim=-1)


def _explicit(query: Tensor, key: Tensor, *, causal: bool) -> Tensor:
    """Write out the mask that ``None`` stood for: all, or causal and aligned at the end."""
    queries, keys = query.shape[2], key.shape[2]
    mask = torch.ones(1, 1, queries, keys, dtype=torch.bool, device=query.device)
    return mask.tril(keys - queries) if causal else mask


def _columns(layer: PrefixLayer, mask: Tensor, rows: int) -> Tensor | None:
    """Return the additive mask (1 or rows, 1, 1, size) of a searched prefix.

    Where a row of the batch is several in the attention, as in Swin's windows, they have its mask.
    """
    if layer.mask is None:
        return None
    column = torch.log(layer.mask.float() + _TINY)
    if not layer.mask.requires_grad:  # then what is off can vanish altogether
        column = column.masked_fill(layer.mask == 0, torch.finfo(mask.dtype).min)
    column = column.unsqueeze(2)
    return column if len(column) == 1 else column.repeat_interleave(rows // len(column), dim=0)


ALL_ATTENTION_FUNCTIONS.register(_NAME, _prefix_attention)
