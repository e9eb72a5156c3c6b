"""``manifest.json``: where a run came from and how far it has got."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from peftsearch import ranks
from peftsearch.errors import ConfigError
from peftsearch.rundir.events import now
from peftsearch.rundir.files import read_json, write_json

FORMAT = 1
STAGES = ("prepare", "search", "discretise", "retrain", "baselines", "export", "report")


class Manifest:
    """The manifest of one run, written at every change.

    Args:
        path: ``manifest.json``; read when it exists, else begun.

    Raises:
        ConfigError: The file is of another format, or not a manifest.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._began: dict[str, float] = {}
        self.data: dict[str, Any] = _read(path) if path.exists() else _fresh()

    def update(self, **fields: Any) -> None:
        """Set keys at the top, e.g. ``versions`` or ``data``, and write the file."""
        self.data.update(fields)
        self._write()

    def is_done(self, stage: str) -> bool:
        """Whether a stage has finished and may be skipped."""
        return bool(self.stage(stage)["status"] == "done")

    def stage(self, stage: str) -> dict[str, Any]:
        """Return the entry of a stage: status, seconds, steps, peak_bytes."""
        entry: dict[str, Any] = self.data["stages"][stage]
        return entry

    def start(self, stage: str) -> dict[str, Any]:
        """Note that a stage begins, goes on after an interruption, or is done again.

        Returns:
            Its entry as it was, for :meth:`restore`.
        """
        entry = self.stage(stage)
        before = dict(entry)
        if entry["status"] == "done":  # counted anew
            entry["seconds"] = 0.0
        entry["status"] = "running"
        self._began[stage] = time.monotonic()
        self._write()
        return before

    def restore(self, stage: str, entry: dict[str, Any]) -> None:
        """Put an entry back: what was to be done again failed, what it wrote first is there."""
        self.stage(stage).update(entry)
        self._write()

    def tick(self, stage: str) -> None:
        """Add the time since the stage began or last ticked.

        Called at every checkpoint, so that a killed run still counts its time.
        """
        entry, moment = self.stage(stage), time.monotonic()
        entry["seconds"] += moment - self._began.get(stage, moment)
        self._began[stage] = moment
        self._write()

    def finish(self, stage: str, steps: int | None = None, peak_bytes: int = 0) -> None:
        """Note that a stage is done; call it when all its files are written.

        Args:
            stage: Name of the stage.
            steps: Steps done in all, interruptions included; ``None`` keeps what is noted.
            peak_bytes: Largest memory use seen, in bytes; 0 when not measured.
        """
        entry = self.stage(stage)
        entry["status"] = "done"
        entry["steps"] = entry["steps"] if steps is None else steps
        entry["peak_bytes"] = max(entry["peak_bytes"], peak_bytes)
        self.tick(stage)

    def _write(self) -> None:
        # Also while an error is on its way, so nobody may wait: the others do not read it again.
        if ranks.leads():
            with ranks.apart():
                write_json(self.path, self.data)


def _fresh() -> dict[str, Any]:
    return {
        "format": FORMAT,
        "created": now(),
        "command": [],
        "versions": {},
        "hardware": {},
        "data": {},
        "seeds": {},
        "stages": {
            stage: {"status": "pending", "seconds": 0.0, "steps": 0, "peak_bytes": 0}
            for stage in STAGES
        },
    }


def _read(path: Path) -> dict[str, Any]:
    data = read_json(path)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        seen = data.get("format") if isinstance(data, dict) else None
        raise ConfigError(
            f"{path}: format {seen!r} is not known; this version reads {FORMAT}.",
            "Use the version of peftsearch that wrote it, or start another run with --out DIR.",
        )
    stages = data.get("stages")
    keys = set(_fresh()["stages"]["prepare"])
    if not isinstance(stages, dict) or any(
        not isinstance(stages.get(s), dict) or keys - set(stages[s]) for s in STAGES
    ):
        raise ConfigError(f"{path} lacks the status of a stage, so it cannot be resumed.")
    return data
