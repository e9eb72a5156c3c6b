"""What a trial takes: read from finished runs.

Place in the flow: a run, a sweep or a study -> **measured** -> prediction. Torch-free.
"""

from __future__ import annotations

import csv
import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peftsearch.errors import ConfigError, PeftSearchError
from peftsearch.rundir import STAGES, Manifest, read_json

#: Of a study; see ``peftsearch tune``.
_TRIALS = "trials.csv"


@dataclass(frozen=True)
class Measured:
    """Figures of single trials.

    Attributes:
        source: Where they come from.
        seconds: Wall time of each trial, > 0.
        steps: Optimiser steps of a trial on average, all stages; ``None`` where not known.
        run_bytes: Bytes that a trial leaves on disk, on average; ``None`` where not known.
        started: Whether the seconds hold the start of the process too.
        stages: Seconds of each stage on average; empty where not known.
    """

    source: str
    seconds: tuple[float, ...]
    steps: int | None = None
    run_bytes: int | None = None
    started: bool = False
    stages: dict[str, float] | None = None

    @property
    def mean(self) -> float:
        """Seconds of a trial."""
        return statistics.fmean(self.seconds)

    @property
    def sd(self) -> float | None:
        """Spread of the seconds; ``None`` for one trial."""
        return statistics.stdev(self.seconds) if len(self.seconds) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """Return it as it stands in a plan."""
        return {
            "source": self.source,
            "n": len(self.seconds),
            "seconds": round(self.mean, 3),
            "seconds_sd": None if self.sd is None else round(self.sd, 3),
            "seconds_most": round(max(self.seconds), 3),
            "process_start_included": self.started,
            "stages": self.stages or {},
            "steps": self.steps,
            "run_bytes": self.run_bytes,
        }


def read_measured(path: Path) -> Measured:
    """Read what earlier trials took.

    Args:
        path: A run directory, or a folder with run directories anywhere below it, e.g. of a
            sweep; or that of a study, with ``trials.csv``.

    Raises:
        ConfigError: Nothing in it is finished.
    """
    if (path / _TRIALS).is_file():
        return _study(path)
    found = [path] if (path / "manifest.json").is_file() else _runs(path)
    runs = [run for run in found if _finished(run)]
    if not runs:
        unfinished = f"; {len(found)} unfinished" if found else ""
        raise ConfigError(
            f"{path} holds no finished run{unfinished}.",
            "Give the folder of a run, a sweep or a study, or time some steps with --measure.",
        )
    costs = [read_json(run / "summary.json")["cost"] for run in runs]
    whole = [_process_seconds(run) for run in runs]
    started = all(seconds is not None for seconds in whole)
    stages = {
        name: round(statistics.fmean(cost["seconds"][name] for cost in costs), 3) for name in STAGES
    }
    return Measured(
        source=str(path),
        seconds=tuple(
            seconds if started and seconds is not None else sum(cost["seconds"].values())
            for seconds, cost in zip(whole, costs, strict=True)
        ),
        steps=round(statistics.fmean(sum(cost["steps"].values()) for cost in costs)),
        run_bytes=round(statistics.fmean(map(size, runs))),
        started=started,
        stages=stages,
    )


def _runs(path: Path) -> list[Path]:
    return sorted(manifest.parent for manifest in path.rglob("manifest.json"))


def _finished(run: Path) -> bool:
    try:
        return Manifest(run / "manifest.json").is_done("report")
    except PeftSearchError:
        return False


def _process_seconds(run: Path) -> float | None:
    """Return what a sweep has noted: from the start of the process to its end."""
    record = run.parent.parent / "records" / f"{run.name}.json"
    if run.parent.name != "runs" or not record.is_file():
        return None
    return float(read_json(record)["seconds"])


def _study(path: Path) -> Measured:
    with (path / _TRIALS).open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get("score")]
    seconds = [value for row in rows if (value := _number(row.get("seconds"))) > 0]
    if not seconds:
        message = f"{path / _TRIALS} holds no finished trial."
        raise ConfigError(message, "Wait for one, or time some steps with --measure.")
    return Measured(str(path), tuple(seconds), run_bytes=size(path) // len(seconds), started=True)


def _number(text: str | None) -> float:
    try:
        value = float(text or 0.0)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0


def size(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
