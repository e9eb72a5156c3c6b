"""Which rows each step sees: a pure function of the seed and the step, so loops can resume."""

from __future__ import annotations

import numpy as np

from peftsearch.seeds import derive


class Batches:
    """Batches drawn without replacement within an epoch; an incomplete last one is dropped.

    Args:
        rows: Number of rows, >= 1.
        size: Rows per batch; fewer rows than that make one batch of all of them.
        seed: Root of the order.
    """

    def __init__(self, rows: int, size: int, seed: int) -> None:
        self.rows = rows
        self.size = min(size, rows)
        self.seed = seed
        self._epoch = -1
        self._order = np.arange(0)

    def indices(self, step: int) -> list[int]:
        """Return the rows of a step, from 0."""
        per_epoch = self.rows // self.size
        epoch, place = divmod(step, per_epoch)
        if epoch != self._epoch:
            self._order = np.random.default_rng(derive(self.seed, epoch)).permutation(self.rows)
            self._epoch = epoch
        rows: list[int] = self._order[place * self.size : (place + 1) * self.size].tolist()
        return rows
