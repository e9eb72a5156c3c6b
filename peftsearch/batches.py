"""Which rows each step sees: a pure function of the seed and the step, so loops can resume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from peftsearch.seeds import derive

#: Batches that are sorted by length together: few enough that each still mixes the epoch's rows.
_POOL = 50


class Batches:
    """Batches drawn without replacement within an epoch; an incomplete last one is dropped.

    Args:
        rows: Number of rows, >= 1.
        size: Rows per batch; fewer rows than that make one batch of all of them.
        seed: Root of the order.
        lengths: Length of each row, where rows of like length are to share a batch, which needs
            less padding: pools of 50 batches are sorted, as ``group_by_length`` of transformers'
            Trainer does, and then, unlike there, the batches come in a random order, so that
            the long ones of a pool do not come first. Absent: any rows share a batch.
    """

    def __init__(
        self, rows: int, size: int, seed: int, lengths: Sequence[int] | None = None
    ) -> None:
        self.rows = rows
        self.size = min(size, rows)
        self.seed = seed
        self.lengths = None if lengths is None else np.asarray(lengths)
        self._epoch = -1
        self._order = np.arange(0)

    def indices(self, step: int) -> list[int]:
        """Return the rows of a step, from 0."""
        per_epoch = self.rows // self.size
        epoch, place = divmod(step, per_epoch)
        if epoch != self._epoch:
            self._order = self._drawn(np.random.default_rng(derive(self.seed, epoch)))
            self._epoch = epoch
        rows: list[int] = self._order[place * self.size : (place + 1) * self.size].tolist()
        return rows

    def _drawn(self, rng: np.random.Generator) -> np.ndarray:
        order = rng.permutation(self.rows)
        if self.lengths is None:
            return order
        used = order[: self.rows // self.size * self.size]
        pools = np.split(used, range(_POOL * self.size, len(used), _POOL * self.size))
        like = np.concatenate([pool[np.argsort(self.lengths[pool])] for pool in pools])
        return rng.permutation(like.reshape(-1, self.size)).reshape(-1)
