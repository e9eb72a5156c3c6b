"""What a budget is counted in beside parameters: bytes, insertions per layer, FLOPs, latency.

Place in the flow: limits -> **resources** -> space. A resource is one further row of the knapsack
(one for each layer, where it is limited layer by layer), and has a price of its own in the gates.
What a candidate costs stands with the candidate; what several share (a backward pass through the
layers above) is paid once. Torch-free.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from peftsearch.site import Site

#: Stack and index.
Layer = tuple[str, int]
#: Where something stands, and what it costs there.
Item = tuple[Layer, float]
#: ``meter(site, method, modules, size) -> what inserting that costs``, >= 0.
Meter = Callable[[Site, str, tuple[str, ...], int], float]


@dataclass(frozen=True)
class Shared:
    """What is spent once if anything at all stands in one of some layers.

    Attributes:
        amount: How much, >= 0.
        layers: The layers.
    """

    amount: float
    layers: frozenset[Layer]


@dataclass(frozen=True)
class Resource:
    """One limit beside the parameters.

    Attributes:
        name: As its key under ``limits``, e.g. ``bytes``.
        unit: What it is counted in, for humans; ``%`` for shares.
        requested: The limit as typed.
        limit: The limit in the unit, >= 0; infinite where it is only counted.
        per_layer: Whether every layer has the limit for itself.
        fixed: What is spent even where nothing is inserted.
        shared: What several insertions share.
        kept: What is decided before the search.
    """

    name: str
    unit: str
    requested: str
    limit: float
    per_layer: bool = False
    fixed: float = 0.0
    shared: tuple[Shared, ...] = ()
    kept: tuple[Item, ...] = ()

    @property
    def option(self) -> str:
        """The option that sets it."""
        return "--max-" + self.name.replace("_", "-")

    @property
    def binding(self) -> bool:
        """Whether it is a limit, and not only counted."""
        return math.isfinite(self.limit)

    def used(self, items: Iterable[Item]) -> float:
        """Return what insertions spend, together with what is kept; of the fullest layer."""
        spent = [*self.kept, *items]
        if self.per_layer:
            return max(_by_layer(spent).values(), default=0.0)
        layers = {layer for layer, _ in spent}
        together = (one.amount for one in self.shared if not layers.isdisjoint(one.layers))
        return math.fsum((self.fixed, *(cost for _, cost in spent), *together))

    def allows(self, items: Iterable[Item]) -> bool:
        """Whether insertions stay within the limit."""
        return not self.binding or self.used(items) <= self.limit

    def left(self, layer: Layer | None = None) -> float:
        """Return what is kept leaves of the limit: of a layer's, where each has one."""
        if self.per_layer:
            return self.limit - _by_layer(self.kept).get(layer or ("", 0), 0.0)
        return self.limit - self.used(())

    @property
    def unpaid(self) -> tuple[Shared, ...]:
        """What is shared and not spent by what is kept already."""
        layers = {layer for layer, _ in self.kept}
        return tuple(one for one in self.shared if layers.isdisjoint(one.layers))

    def shown(self, amount: float) -> str:
        """Return an amount with its unit, e.g. ``12,345 bytes``."""
        if self.unit == "%":
            return f"{100 * amount:.3g}%"
        number = f"{amount:.4g}" if abs(amount) >= 1e9 else f"{math.ceil(amount):,}"
        return f"{number} {self.unit}"

    def to_json(self) -> dict[str, Any]:
        """Return one entry of ``resources`` in ``space.json``."""
        return {
            "name": self.name,
            "unit": self.unit,
            "requested": self.requested,
            "limit": self.limit if self.binding else None,
            "per_layer": self.per_layer,
            "fixed": self.fixed,
            "shared": [
                {"amount": one.amount, "layers": sorted(map(list, one.layers))}
                for one in self.shared
            ],
            "kept": [{"layer": list(layer), "cost": cost} for layer, cost in self.kept],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Resource:
        """Read one entry of ``resources``."""
        shared = tuple(
            Shared(one["amount"], frozenset(_layer(row) for row in one["layers"]))
            for one in data["shared"]
        )
        kept = tuple((_layer(row["layer"]), row["cost"]) for row in data["kept"])
        limit = math.inf if data["limit"] is None else data["limit"]
        return cls(**{**data, "limit": limit, "shared": shared, "kept": kept})


def layer_of(site: Site) -> Layer:
    """Return the layer of a site."""
    return site.stack, site.layer


def _layer(row: Iterable[Any]) -> Layer:
    stack, index = row
    return str(stack), int(index)


def _by_layer(items: Iterable[Item]) -> dict[Layer, float]:
    totals: dict[Layer, float] = defaultdict(float)
    for layer, cost in items:
        totals[layer] += cost
    return totals
