"""What a method is made of: a layer on a frozen module, and the slot that holds it there.

A layer is registered on its host module as ``host.peftsearch.<key>``, and acts through one
pre-hook and one hook. No backbone module is replaced, so every backbone parameter keeps its
name. Where several layers meet on one host, the order of composition is the methods' declared
order, never the order of insertion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from peftsearch.methods.linear_map import LinearMap, linear_map
from peftsearch.site import FUSED, Site

#: Name under which a slot is registered on its host.
SLOT = "peftsearch"


@dataclass(frozen=True)
class SiteHost:
    """The frozen modules of one site.

    Attributes:
        site: What it is called.
        modules: Its modules by the names of :attr:`Site.modules`.
        core: For attention sites the module that calls the attention function.
        num_heads: For attention sites the number of key/value heads.
        key_norm: For attention sites the norm whose output the keys are computed from.
        widths: Where one map computes several, how many of its outputs are each one's, in the
            order of :data:`peftsearch.site.FUSED`; equal shares by default.
        by_heads: Whether such a map computes them head by head, those of one head side by side.
        rows_alike: Whether all rows of a batch must run the same here, because a map also sees
            input that is no row of the batch.
        passes: How often a forward pass of the model goes through it.
        tokens: Tokens of a row here, where layers differ in it; 0: as many as its stack has.
        attended: To how many of them one attends; 0: to all.
        beside: Frozen maps at no site that go with this one, each with the tokens that it sees.
    """

    site: Site
    modules: Mapping[str, nn.Module]
    core: nn.Module | None = None
    num_heads: int = 0
    key_norm: nn.Module | None = None
    widths: tuple[int, ...] = ()
    by_heads: bool = False
    rows_alike: bool = False
    passes: int = 1
    tokens: int = 0
    attended: int = 0
    beside: tuple[tuple[nn.Module, int], ...] = ()
    anchors: Mapping[str, nn.Module] = field(init=False)

    def __post_init__(self) -> None:
        anchors = dict(self.modules)
        if self.core is not None:
            anchors["core"] = self.core
        object.__setattr__(self, "anchors", anchors)

    def linear(self, name: str) -> LinearMap:
        """Return a module that must be a linear map."""
        module = self.modules[name]
        found = linear_map(module)
        if found is None:
            raise TypeError(f"{self.site.id}.{name} is a {type(module).__name__}, not nn.Linear")
        return found

    def outputs(self, name: str) -> tuple[LinearMap, list[int]]:
        """Return the linear map that computes ``"q"``, ``"k"`` or ``"v"``, and which outputs."""
        (whole,) = self.site.resolve([name])
        linear = self.linear(whole)
        if whole == name:
            return linear, list(range(linear.out_features))
        parts = FUSED[whole]
        if self.by_heads:
            share = linear.out_features // (len(parts) * self.num_heads)
            every = range(linear.out_features)
            return linear, [i for i in every if i // share % len(parts) == parts.index(name)]
        widths = self.widths or (linear.out_features // len(parts),) * len(parts)
        place = parts.index(name)
        start = sum(widths[:place])
        return linear, list(range(start, start + widths[place]))


class PeftLayer(nn.Module):
    """One method on one frozen module.

    In the supernet the layer has its largest size, and ``mask`` says how much of it is on:
    a tensor (1 or B, 1, size) of zeros and ones, or ``None`` for all of it. An inactive layer
    is skipped, so the backbone's output is then unchanged bit for bit.
    """

    #: For each parameter that grows with the size, the dimension that does.
    size_dims: ClassVar[dict[str, int]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.mask: Tensor | None = None
        self.active = True

    def before(self, x: Tensor) -> Tensor:
        """Change the input (B, T, D_in) of the host."""
        return x

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        """Change the output (B, T, D_out) of the host, given its input."""
        return y

    def attach(self, host: nn.Module) -> None:
        """Wire anything that hooks cannot do; called once after registration."""

    def detach(self, host: nn.Module) -> None:
        """Undo :meth:`attach`."""

    def masked(self, x: Tensor) -> Tensor:
        """Multiply by the mask, if there is one."""
        return x if self.mask is None else x * self.mask.to(x.dtype)


def whole(weight: Tensor) -> Tensor:
    """Return a backbone's weight; where its layer is in shards, gathered by all processes."""
    gather = getattr(weight, "full_tensor", None)
    return weight if gather is None else gather()


def add_product(y: Tensor, hidden: Tensor, weight: Tensor, scale: float = 1.0) -> Tensor:
    """Return ``y + scale * hidden @ weight.T``, in one kernel where the types agree.

    Args:
        y: (B, T, D_out).
        hidden: (B, T, R).
        weight: (D_out, R).
        scale: A constant.
    """
    if y.dtype == hidden.dtype == weight.dtype:
        flat = torch.addmm(y.flatten(0, -2), hidden.flatten(0, -2), weight.t(), alpha=scale)
        return flat.view_as(y)
    return y + (functional.linear(hidden, weight) * scale).to(y.dtype)


#: ``build(host, modules, size) -> {anchor name: layer}``; an anchor is a module of the site
#: or ``"core"``.
Build = Callable[[SiteHost, tuple[str, ...], int], dict[str, PeftLayer]]


class PeftSlot(nn.Module):
    """All layers on one host, applied in the order of composition."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict()
        self._orders: dict[str, int] = {}
        self._sorted: list[PeftLayer] = []
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def ordered(self) -> list[PeftLayer]:
        """Return the layers that are on, in the order of composition."""
        return [layer for layer in self._sorted if layer.active]

    def put(self, key: str, layer: PeftLayer, order: int) -> None:
        """Add a layer."""
        self.layers[key] = layer
        self._orders[key] = order
        self._sort()

    def drop(self, key: str) -> PeftLayer:
        """Take a layer out and return it."""
        layer = self.layers.pop(key)
        assert isinstance(layer, PeftLayer)
        del self._orders[key]
        self._sort()
        return layer

    def _sort(self) -> None:
        names = sorted(self._orders, key=lambda name: (self._orders[name], name))
        self._sorted = [self.layers[name] for name in names]  # type: ignore[misc]

    def _before(self, host: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        layers = self.ordered()
        if not layers:
            return None
        x = _in_rows(args[0], layers)
        for layer in layers:
            x = layer.before(x)
        return (x.reshape(args[0].shape), *args[1:])

    def _after(self, host: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        layers = self.ordered()
        if not layers:
            return output
        x, y = _in_rows(args[0], layers), _in_rows(output, layers)
        for layer in layers:
            y = layer.after(x, y)
        return y.reshape(output.shape)

    def open(self, host: nn.Module) -> None:
        """Register the slot and its hooks on the host."""
        host.add_module(SLOT, self)
        if not hasattr(host, "config"):  # an attention module is reached through its config
            # Bound methods, so that a deep copy of the model points at its own slot.
            self._handles = [
                host.register_forward_pre_hook(self._before),
                host.register_forward_hook(self._after),
            ]

    def close(self, host: nn.Module) -> None:
        """Remove the slot and its hooks from the host."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        del host._modules[SLOT]


def _in_rows(x: Tensor, layers: Sequence[PeftLayer]) -> Tensor:
    """Return (B, T, D): OPT's feed-forward has (B * T, D), norms of heads (B, T, H, K).

    Swin's attention has a row for each window, (B * W, T, D). B is known from the masks alone, and
    without them it does not matter: then strides stay, for a copy can round attention otherwise.

    Args:
        x: Input or output of the host.
        layers: Those that are on; the others may still have the masks of another batch.
    """
    rows = max(1 if layer.mask is None else len(layer.mask) for layer in layers)
    if (x.dim() >= 3 and rows == 1) or (x.dim() == 3 and rows == len(x)):
        return x
    return x.reshape(rows, -1, x.shape[-1])


def insert(host: nn.Module, key: str, layer: PeftLayer, order: int) -> None:
    """Put a layer on a host module under a key that is unique there."""
    slot = host._modules.get(SLOT)
    if slot is None:
        slot = PeftSlot()
        slot.open(host)
    assert isinstance(slot, PeftSlot)
    if key in slot.layers:
        raise ValueError(f"a layer named {key} is on this module already")
    slot.put(key, layer, order)
    layer.attach(host)


def remove(host: nn.Module, key: str) -> None:
    """Take a layer off its host; the last one takes the slot with it."""
    slot = host._modules[SLOT]
    assert isinstance(slot, PeftSlot)
    layer = slot.layers[key]
    assert isinstance(layer, PeftLayer)
    layer.detach(host)
    slot.drop(key)
    if not slot.layers:
        slot.close(host)
