"""Many independent jobs in worker processes of one thread; a signal ends them politely."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

import torch

from peftsearch.errors import StoppedError
from peftsearch.interrupt import Interrupt

Results = Generator[Any, None, None]


def in_parallel(function: Callable[[Any], Any], jobs: Sequence[Any], workers: int) -> Iterator[Any]:
    """Yield the result of every job as soon as it is there.

    Args:
        function: A function of a module; with several workers it is called in other processes.
        jobs: Its arguments.
        workers: Processes; with one, everything happens in this one.

    Raises:
        StoppedError: A signal arrived; results that were not yielded are lost.
    """
    with Interrupt() as interrupt:
        results = _here(function, jobs) if workers == 1 else _there(function, jobs, workers)
        done = 0
        for result in results:
            if not isinstance(result, _Stopped):
                done += 1
                yield result
            asked = interrupt.signal_number if interrupt.requested else None
            number = asked or getattr(result, "signal_number", None)
            if number is not None:
                results.close()
                raise StoppedError(number, f"Stopped after {done:,} of {len(jobs):,}")


class _Stopped:
    """What a job returns that was stopped; the error itself does not travel between processes."""

    def __init__(self, signal_number: int) -> None:
        self.signal_number = signal_number


def _guarded(function: Callable[[Any], Any], job: Any) -> Any:
    try:
        return function(job)
    except StoppedError as error:
        return _Stopped(error.signal_number)


def _here(function: Callable[[Any], Any], jobs: Sequence[Any]) -> Results:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for job in jobs:
            yield _guarded(function, job)
    finally:
        torch.set_num_threads(before)


def _there(function: Callable[[Any], Any], jobs: Sequence[Any], workers: int) -> Results:
    # Not forked: threads of the libraries, and CUDA, do not survive that.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)
    try:
        for future in as_completed([pool.submit(_guarded, function, job) for job in jobs]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """Prepare a worker: one thread, signals between two jobs left to the parent, no orphans."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    """End this process when its parent has ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
