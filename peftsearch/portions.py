"""How many rows go through the model at once: fewer, once memory has run out.

A batch is cut into portions whose gradients add up to those of the whole batch, so its size never
changes, nor what is drawn for it; only dropout falls on other places. What was learnt is kept in
the run, and the stages that follow begin with it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar, cast

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from peftsearch import ranks
from peftsearch.rundir import read_json, write_json

P = TypeVar("P")
T = TypeVar("T")
#: In the run directory.
FILE = "micro_batch.json"
#: What rows go through the model for; each has its own number.
TRAIN, SCORE = "train", "score"


class Portions:
    """The most rows at once, for training and for scoring.

    Args:
        file: Where they are kept; what an earlier stage wrote there is read.
        tell: Told a sentence whenever memory has run out.
        parts: Portions of a batch that are asked for in any case.
        alone: Whether a process may try again by itself in the midst of a pass: not where a
            backbone is in shards, which every process must pass through together.
    """

    def __init__(
        self, file: Path, tell: Callable[[str], None], parts: int = 1, alone: bool = True
    ) -> None:
        self.file, self.tell, self.parts, self.alone = file, tell, parts, alone
        there = read_json(file) if file.is_file() else {}
        self.most: dict[str, int] = {k: there[k] for k in (TRAIN, SCORE) if k in there}

    def cut(self, count: int) -> list[range]:
        """Return the places of a batch's portions: nearly equal ones, in order, none empty."""
        parts = min(self.parts, count)
        if TRAIN in self.most:
            parts = max(parts, math.ceil(count / self.most[TRAIN]))
        bounds = [round(i * count / parts) for i in range(parts + 1)]
        return [range(a, b) for a, b in itertools.pairwise(bounds)]

    def whole(self, count: int, work: Callable[[Sequence[range]], T], together: bool = True) -> T:
        """Do something with a batch, from its beginning again when memory runs out.

        Of several processes all do it again when one of them must.

        Args:
            count: Rows of the batch.
            work: Called with the portions; changes nothing that a second call would find changed.
            together: Whether no process waits for another within ``work``.
        """
        while True:
            places = self.cut(count)
            found, error = self._tried(work, places)
            failed = error is not None
            if failed and ranks.size() > 1 and not together:
                raise error or MemoryError
            if together:
                failed = ranks.total(float(failed)) > 0
            if not failed:
                return cast(T, found)
            self._fewer(TRAIN, max(map(len, places)), error)

    def each(self, count: int, most: int, work: Callable[[range], T]) -> Iterator[tuple[range, T]]:
        """Do something with one portion after the other; what failed is done again in smaller ones.

        Args:
            count: Rows in all.
            most: Rows at once at most.
            work: Called with the places of a portion.
        """
        start = 0
        while start < count:
            size = min(most, self.most.get(SCORE, most), count - start)
            place = range(start, start + size)
            found, error = self._tried(work, place)
            if error is not None:
                self._fewer(SCORE, size, error)
                continue
            yield place, cast(T, found)
            start += size

    def _tried(self, work: Callable[[P], T], places: P) -> tuple[T | None, Exception | None]:
        """Return what something gives, or the error if memory has run out."""
        try:
            return work(places), None
        except (RuntimeError, MemoryError) as error:
            if not self.alone or not _out_of_memory(error):
                raise
            return None, error

    def _fewer(self, purpose: str, size: int, error: Exception | None) -> None:
        """Halve the rows at once, and say so.

        Raises:
            Exception: It was a single row already.
        """
        if size == 1:
            raise error or MemoryError("another device has no room for a single row")
        self.most[purpose] = size // 2
        if error is not None:
            error.__traceback__ = None  # its frames hold what must be let go
        clear_device_cache(garbage_collection=True)
        if not ranks.leads():
            return
        write_json(self.file, {"format": 1, **self.most})
        what = "train" if purpose == TRAIN else "are scored"
        self.tell(
            f"Memory ran out with {size:,} rows at once: from now on {size // 2:,} of a batch "
            f"{what} at once; batches stay as they are."
        )


def _out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return should_reduce_batch_size(error) or "DefaultCPUAllocator" in str(error)
