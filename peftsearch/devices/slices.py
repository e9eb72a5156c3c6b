"""Which rows of a batch this process computes, and how much they count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from peftsearch import ranks
from peftsearch.formats import Feature

#: Over how many terms the loss of some rows is a mean.
Terms = Callable[[Sequence[Feature]], int]


@dataclass(frozen=True)
class Slice:
    """The part of a batch that one process computes.

    Attributes:
        rows: Its rows, at least one.
        places: Where they stand in the batch.
        weight: Its share of what the mean loss of the batch is taken over, in [0, 1]: the sum
            over all processes of ``weight`` times the mean loss of the slice is the mean loss
            of the batch, whatever the sizes of the slices.
    """

    rows: Sequence[Feature]
    places: range
    weight: float

    def weighted(self, loss: Tensor) -> Tensor:
        """Return the slice's summand of the mean loss of the batch."""
        return loss if self.weight == 1 else loss * self.weight


def slice_of(rows: Sequence[Feature], terms: Terms = len) -> Slice:
    """Return this process's slice of a batch; in a single process all of it.

    Where there are fewer rows than processes, some compute a row that others compute too, and
    that does not count: a sharded model needs every process at every step.

    Args:
        rows: The batch.
        terms: Over how many terms the loss of some rows is a mean, see ``Format.terms``.
    """
    count, size = len(rows), ranks.size()
    places = range(ranks.rank() * count // size, (ranks.rank() + 1) * count // size)
    if not places:
        return Slice(rows[:1], range(1), 0.0)
    own = rows[places.start : places.stop]
    return Slice(own, places, terms(own) / max(1, terms(rows)))
