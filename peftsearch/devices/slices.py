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


def slice_of(rows: Sequence[Feature], terms: Terms = len, portion: range | None = None) -> Slice:
    """Return this process's slice of a batch, or of a portion; in a single process all of it.

    Where there are fewer rows than processes, some compute a row that others compute too, and
    that does not count: a sharded model needs every process at every step.

    Args:
        rows: The batch.
        terms: Over how many terms the loss of some rows is a mean, see ``Format.terms``.
        portion: The rows that go through the model at once, by default all. The weighted losses
            of all portions add up to the mean loss of the batch, too.
    """
    portion = range(len(rows)) if portion is None else portion
    count, size, first = len(portion), ranks.size(), portion.start
    places = range(first + ranks.rank() * count // size, first + (ranks.rank() + 1) * count // size)
    if not places:
        return Slice(rows[first : first + 1], range(first, first + 1), 0.0)
    own = rows[places.start : places.stop]
    return Slice(own, places, terms(own) / max(1, terms(rows)))
