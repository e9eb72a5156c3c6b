"""The processes of one run on this machine: starting them, and ending them together.

They meet in torch's own store, which this process holds, as torchrun's agent does. Torchrun
itself is not used because it kills the others as soon as one has ended: here a signal is passed
on, and the processes get the time to stop at the same step and to save.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from peftsearch import ranks
from peftsearch.config import RunConfig
from peftsearch.environment import cpu_count
from peftsearch.errors import ConfigError, MissingError
from peftsearch.interrupt import SIGNALS

#: Seconds that the others have when one has ended in error, then again after SIGTERM.
PATIENCE = 30.0
_POLL = 0.05


@dataclass(frozen=True)
class Ended:
    """How a run on several devices ended.

    Attributes:
        code: Exit code for the whole: 128 + N where signal N killed a process.
        killed: Number of the process that a signal killed, from 0; ``None``: no one.
        signal_number: That signal, else 0.
    """

    code: int
    killed: int | None = None
    signal_number: int = 0


def check_devices(config: RunConfig) -> None:
    """Refuse more devices than there are.

    Raises:
        ConfigError: The device cannot be had several times.
        MissingError: There are not so many.
    """
    import torch

    wanted, device = config.devices, config.device
    if ":" in device or device == "mps":
        message = f"devices is {wanted}, and device {device} is one only."
        raise ConfigError(message, "Use --device auto, cuda or cpu.")
    cuda = torch.cuda.device_count()
    if device == "cuda" or (device == "auto" and cuda):
        if wanted > cuda:
            message = f"devices is {wanted}, and there are {cuda} CUDA devices."
            raise MissingError(message, f"Use --devices {cuda}." if cuda else "Use --device cpu.")
    elif wanted > cpu_count():
        message = f"devices is {wanted}, and there are {cpu_count()} processors."
        raise MissingError(message, f"Use --devices {cpu_count()}.")


def launch(count: int, words: Sequence[str]) -> Ended:
    """Run ``python -m peftsearch`` in several processes, and wait for the last to end.

    Args:
        count: How many.
        words: What follows ``peftsearch``.
    """
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    command = [sys.executable, "-m", "peftsearch", *words]
    processes: list[subprocess.Popen[bytes]] = []
    with _passing_on(processes):
        for number in range(count):
            environ = {**os.environ, **_environ(number, count, store.port)}
            # In a group of its own: Ctrl-C on the terminal reaches it once, through this process.
            process = subprocess.Popen(command, env=environ, start_new_session=True)
            processes.append(process)
        try:
            return _wait(processes)
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()


def _environ(number: int, count: int, port: int) -> Mapping[str, str]:
    threads = max(1, cpu_count() // count)
    return {
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "0",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)),
    }


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> Ended:
    """Wait for all; where one ends in error, the others get :data:`PATIENCE` twice."""
    first: Ended | None = None
    since, asked = 0.0, 0
    while True:
        codes = [process.poll() for process in processes]
        first = first or _error(codes)
        if None not in codes:
            return first or Ended(0)
        if first is not None:
            since = since or time.monotonic()
            late = int((time.monotonic() - since) // PATIENCE)
            if late > asked:
                asked = late
                number = signal.SIGTERM if late == 1 else signal.SIGKILL
                _send([p for p in processes if p.poll() is None], number)
        time.sleep(_POLL)


def _error(codes: Sequence[int | None]) -> Ended | None:
    """Return how the first of several ended in error; one that was killed is the cause."""
    for number, code in enumerate(codes):
        if code is not None and code < 0:
            return Ended(128 - code, number, -code)
    failed = [code for code in codes if code]
    return Ended(failed[0]) if failed else None


@contextmanager
def _passing_on(processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """A context in which SIGINT and SIGTERM go to all processes instead of ending this one."""

    def handle(number: int, frame: FrameType | None) -> None:
        _send(processes, number)

    previous: dict[int, Any] = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _send(processes: Sequence[subprocess.Popen[bytes]], number: int) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


def end_with_parent() -> None:
    """Stop, as after SIGTERM, when the process that started this one has gone."""
    import threading

    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGTERM)

    if ranks.size() > 1:
        threading.Thread(target=watch, daemon=True).start()
