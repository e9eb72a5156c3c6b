"""What each of several runs at once may use of this machine: its share of the cores, one device.

Place in the flow: below sweeps and studies; the environment of every process that they begin.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping

_DEVICES, _THREADS = "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"


def rooms(jobs: int, environ: Mapping[str, str]) -> list[dict[str, str]]:
    """Return an environment for each of so many runs at once.

    One run alone has the whole machine. Of several each has its share of the cores, unless
    OMP_NUM_THREADS says otherwise, and a CUDA device of its own; of more runs than devices some
    share one.

    Args:
        jobs: How many at once.
        environ: The environment here.
    """
    if jobs == 1:
        return [dict(environ)]
    threads = {_THREADS: str(max(1, _cores() // jobs))}
    there = devices(environ)
    return [
        {**threads, **environ, **({_DEVICES: there[n % len(there)]} if there else {})}
        for n in range(jobs)
    ]


def devices(environ: Mapping[str, str]) -> list[str]:
    """Return the CUDA devices of this machine, as CUDA_VISIBLE_DEVICES names them."""
    if _DEVICES in environ:
        return [name.strip() for name in environ[_DEVICES].split(",") if name.strip()]
    program = shutil.which("nvidia-smi", path=environ.get("PATH"))
    if program is None:
        return []
    done = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)
    count = sum(line.startswith("GPU ") for line in done.stdout.splitlines())
    return [str(index) for index in range(count)]


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
