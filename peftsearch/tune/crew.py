"""Several workers on this machine: processes of the same command, each with one trial at a time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from peftsearch.errors import PeftSearchError, StoppedError
from peftsearch.interrupt import Interrupt
from peftsearch.tune.worker import POLL

#: Where workers find the storage: a command line can be read by every user of the machine.
STORAGE = "PEFTSEARCH_STORAGE"


def devices(environ: Mapping[str, str]) -> list[str]:
    """Return the CUDA devices of this machine, as CUDA_VISIBLE_DEVICES names them."""
    if "CUDA_VISIBLE_DEVICES" in environ:
        return [name for name in environ["CUDA_VISIBLE_DEVICES"].split(",") if name.strip()]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    done = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)
    count = sum(line.startswith("GPU ") for line in done.stdout.splitlines())
    return [str(index) for index in range(count)]


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
    own = dict(environ) | {STORAGE: storage}
    own.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    there = devices(environ)
    if len(there) > 1:
        own["CUDA_VISIBLE_DEVICES"] = there[number % len(there)]
    return own


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
