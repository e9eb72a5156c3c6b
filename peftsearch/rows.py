"""The rows of the knapsack beside the parameters: resources of a space as linear constraints.

Place in the flow: space -> **rows** -> discretise, gates. Torch-free.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from peftsearch.resources import Layer, Resource, layer_of
from peftsearch.space import SearchSpace

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One linear constraint: what is chosen costs at most the limit.

    Attributes:
        resource: What is counted.
        costs: One number for each candidate of each gate, in their order; what candidates share
            is not in it.
        limit: What is left for them, > 0 where any of them costs something.
    """

    resource: Resource
    costs: Numbers
    limit: float

    @property
    def name(self) -> str:
        """Name of the resource."""
        return self.resource.name


def rows(space: SearchSpace) -> list[Row]:
    """Return a row for each limited resource, and for each layer of one that is per layer."""
    return [
        row
        for place, resource in enumerate(space.resources)
        if resource.binding
        for row in _of(space, place, resource)
    ]


def _of(space: SearchSpace, place: int, resource: Resource) -> Iterator[Row]:
    costs = np.array([_cost(c.costs, place) for _, c in space.choices()])
    if not resource.per_layer:
        yield Row(resource, costs, resource.left())
        return
    layers = [layer_of(gate.site) for gate, _ in space.choices()]
    for layer in dict.fromkeys(layers):
        here = np.array([each == layer for each in layers])
        yield Row(resource, costs * here, resource.left(layer))


def _cost(costs: tuple[float, ...], place: int) -> float:
    return costs[place] if costs else 0.0


def spread(space: SearchSpace, row: Row) -> Numbers:
    """Return the costs of a row with an even part of what is shared put on every candidate.

    For expectations: were something chosen at every gate, their sum would be exact; where less is
    chosen it is too low, and what is too dear is found when an architecture is counted.
    """
    gates = [layer_of(gate.site) for gate in space.gates]
    added: dict[Layer, float] = dict.fromkeys(gates, 0.0)
    for one in row.resource.unpaid:
        paying = [layer for layer in gates if layer in one.layers]
        for layer in dict.fromkeys(paying):
            added[layer] += one.amount / len(paying)
    more = [added[layer_of(gate.site)] * bool(c.num_params) for gate, c in space.choices()]
    return np.asarray(row.costs + np.array(more), dtype=np.float64)
