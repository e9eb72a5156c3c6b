"""Which of a run's processes this is, and what they do together. Torch-free to import.

Place in the flow: below everything. A run on several devices is several processes that execute
the same program on the same seeds: they choose the same rows, draw the same architectures and
come to the same decisions. Each computes on its slice of every batch, and sums are taken over
all (:mod:`peftsearch.devices`). The process of rank 0 leads: it alone writes and speaks.

In one process every function here does nothing, at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from peftsearch.errors import LostError, PeftSearchError

T = TypeVar("T")
#: Seconds that one process waits for the others before it gives up.
TIMEOUT = 600


@dataclass
class _Place:
    """Where this process stands; ``size`` counts the processes it works together with."""

    rank: int = 0
    size: int = 1


_PLACE = _Place()


def join(environ: Mapping[str, str] | None = None) -> None:
    """Take the place that a launcher (ours, Accelerate's, torchrun) gave to this process.

    Args:
        environ: Holds ``RANK`` and ``WORLD_SIZE``, or neither; by default the environment.

    Raises:
        PeftSearchError: Only one of them is there, or they contradict each other.
    """
    environ = os.environ if environ is None else environ
    size = environ.get("WORLD_SIZE", "1")
    rank = environ.get("RANK", "0" if size == "1" else "")
    if not (rank.isdigit() and size.isdigit() and int(rank) < int(size)):
        message = f'the launcher gave RANK="{rank}" and WORLD_SIZE="{size}".'
        raise PeftSearchError(message, "Start it with: accelerate launch -m peftsearch run ...")
    _PLACE.rank, _PLACE.size = int(rank), int(size)


def rank() -> int:
    """Return the number of this process among those of the run, from 0."""
    return _PLACE.rank


def size() -> int:
    """Return how many processes work together now."""
    return _PLACE.size


def leads() -> bool:
    """Whether this process writes and speaks for all."""
    return _PLACE.rank == 0


def part() -> None:
    """Wait for all; from then on each is on its own, and all but the first are done."""
    if _PLACE.size > 1:
        wait()
        leave()


def leave() -> None:
    """Work together with nobody any more, without waiting."""
    if _PLACE.size > 1:
        import torch.distributed as dist

        _PLACE.size = 1
        if dist.is_initialized():
            dist.destroy_process_group()


@contextmanager
def apart() -> Iterator[None]:
    """A context in which nobody waits for anybody: what only one does, or an ending in error."""
    together, _PLACE.size = _PLACE.size, 1
    try:
        yield
    finally:
        _PLACE.size = together


@contextmanager
def connected() -> Iterator[Any]:
    """Give ``torch.distributed`` with all processes connected.

    Raises:
        LostError: Another process has gone.
    """
    import torch
    import torch.distributed as dist

    try:
        if not dist.is_initialized():
            # Decisions and gates are on the CPU, weights on the device: each its own library.
            both = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            dist.init_process_group(both, timeout=timedelta(seconds=TIMEOUT))
        yield dist
    except RuntimeError as error:  # what gloo and NCCL raise when a connection breaks
        reason = (str(error).splitlines() or [""])[0]
        raise LostError(f"Another process of this run has ended ({reason}).") from error


def wait() -> None:
    """Go on when all have come here."""
    highest(0)


def highest(number: int) -> int:
    """Return the largest number that any process gives."""
    if _PLACE.size == 1:
        return number
    import torch

    value = torch.tensor(number)
    with connected() as dist:
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
    return int(value)


def total(number: float) -> float:
    """Return the sum of what every process gives."""
    if _PLACE.size == 1:
        return number
    import torch

    value = torch.tensor(number, dtype=torch.float64)
    with connected() as dist:
        dist.all_reduce(value)
    return float(value)


def gathered(item: T) -> list[T]:
    """Return what every process gives, by rank; whatever pickle can hold."""
    if _PLACE.size == 1:
        return [item]
    found: list[Any] = [None] * _PLACE.size
    with connected() as dist:
        dist.all_gather_object(found, item)
    return found


def told(item: T) -> T:
    """Return what the leading process gives; what the others give does not count."""
    if _PLACE.size == 1:
        return item
    box = [item]
    with connected() as dist:
        dist.broadcast_object_list(box, src=0)
    return box[0]


def led(action: Callable[[], T]) -> T | None:
    """Let the leading process do something before anybody goes on.

    Returns:
        What it returns, there; ``None`` in the others.

    Raises:
        PeftSearchError: What it raises, in every process.
    """
    made, failed = None, None
    if leads():
        try:
            with apart():
                made = action()
        except PeftSearchError as error:
            failed = error
    failed = told(failed)
    if failed is not None:
        raise failed
    return made
