"""Wall time, device hours, storage traffic and disk of many trials on many devices.

With T trials of s seconds and b bytes each, on W = min(D, T) of D devices that each work on one
trial at a time::

    wall time      ceil(T / W) * s
        at least   T * s / W                               (no device ever waits)
        at most    T * s / W + (1 - 1 / W) * longest       (Graham's bound for lists)
    device hours   T * s / 3600
    disk           T * b
    storage        T * (u + W * u)   u: bytes of a trial in the storage; the worker that makes it
                                     writes it once, and every worker reads it once
"""

from __future__ import annotations

import math
from typing import Any

from peftsearch.scaling.measured import Measured

#: Bytes of a trial in Optuna's storages and statements that it takes, for eight parameters, three
#: reports and four attributes: ``benchmarks/storage_overhead.py``.
STORAGE_BYTES = {"sqlite": 1_800, "journal": 3_700}
#: Calls of a trial that write: begin, eight parameters, three reports, four attributes, end.
STORAGE_WRITES = 1 + 8 + 3 + 4 + 1


def predict(measured: Measured, devices: int, trials: int) -> dict[str, Any]:
    """Return what the trials would take.

    Args:
        measured: What single ones took, on such a device.
        devices: Devices that work at once, one trial each, >= 1.
        trials: Trials in all, >= 1.

    Returns:
        JSON types; seconds, hours and bytes. ``disk_bytes`` is ``None`` where it was not measured.
    """
    workers, mean = min(devices, trials), measured.mean
    shared = trials * mean / workers
    wall = math.ceil(trials / workers) * mean
    longest = max(measured.seconds)
    return {
        "format": 1,
        "devices": devices,
        "trials": trials,
        "workers": workers,
        "measured": measured.to_json(),
        "wall_seconds": round(wall, 3),
        "wall_seconds_at_least": round(shared, 3),
        "wall_seconds_at_most": round(max(wall, shared + (1 - 1 / workers) * longest), 3),
        "device_hours": round(trials * mean / 3600, 4),
        "disk_bytes": None if measured.run_bytes is None else trials * measured.run_bytes,
        "storage": {
            kind: {
                "written_bytes": trials * size,
                "read_bytes": trials * size * workers,
                "writes_per_second": round(trials * STORAGE_WRITES / wall, 3),
            }
            for kind, size in STORAGE_BYTES.items()
        },
    }
