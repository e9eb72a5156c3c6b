"""Several workers on this machine: processes of the same command, each with one trial at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from peftsearch.errors import PeftSearchError, StoppedError
from peftsearch.interrupt import Interrupt
from peftsearch.room import rooms
from peftsearch.tune.worker import POLL

#: Where workers find the storage: a command line can be read by every user of the machine.
STORAGE = "PEFTSEARCH_STORAGE"


def environment(
    number: int, workers: int, storage: str, environ: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of a worker: its share of the cores, and a device of its own.

    Args:
        number: Of the worker, from 0.
        workers: How many there are.
        storage: URL of the storage.
        environ: The environment here.
    """
    return rooms(workers, environ)[number] | {STORAGE: storage}


def run(words: Sequence[str], workers: int, storage: str, interrupt: Interrupt) -> None:
    """Begin workers and wait for all of them.

    Args:
        words: The command of one worker, without the program.
        workers: How many.
        storage: URL of the storage.
        interrupt: Asks to stop; passed on.

    Raises:
        StoppedError: Asked to stop; every worker has put its trial back.
        PeftSearchError: None of them came to the end.
    """
    command = [sys.executable, "-m", "peftsearch", *words]
    crew = [
        subprocess.Popen(
            command,
            env=environment(number, workers, storage, os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        for number in range(workers)
    ]
    told = False
    try:
        while any(each.poll() is None for each in crew):
            if interrupt.requested and not told:
                told = True
                for each in crew:
                    _send(each, signal.SIGTERM)
            time.sleep(POLL / 5)
    finally:
        for each in crew:
            _send(each, signal.SIGKILL)
    interrupt.check("the end of a trial")
    codes = [each.returncode for each in crew]
    if 0 not in codes:
        _raise(codes)


def _send(process: subprocess.Popen[bytes], number: int) -> None:
    if process.poll() is None:
        process.send_signal(number)


def _raise(codes: Sequence[int]) -> None:
    stopped = [code for code in codes if code in (130, 143)]
    if stopped:
        raise StoppedError(stopped[0] - 128, "Stopped; every trial is saved.")
    error = PeftSearchError(f"Every worker ended with an error; exit codes {codes}.")
    error.exit_code = next((code for code in codes if code > 0), 1)
    raise error
