"""``manifest.json``: where a run came from and how far it has got."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

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

    def start(self, stage: str) -> None:
        """Note that a stage begins, or goes on after an interruption."""
        self._began[stage] = time.monotonic()
        self.stage(stage)["status"] = "running"
        self._write()

    def progress(self, stage: str, steps: int, peak_bytes: int = 0) -> None:
        """Note the steps done at a checkpoint, so that a killed run still counts its time.

        Args:
            stage: Name of the stage.
            steps: Steps done in all, interruptions included.
            peak_bytes: Largest memory use seen, in bytes; 0 when not measured.
        """
        entry = self.stage(stage)
        begun = time.monotonic()
        entry["seconds"] += begun - self._began.get(stage, begun)
        self._began[stage] = begun
        entry["steps"] = steps
        entry["peak_bytes"] = max(entry["peak_bytes"], peak_bytes)
        self._write()

    def finish(self, stage: str, steps: int = 0, peak_bytes: int = 0) -> None:
        """Note that a stage is done; call it when all its files are written."""
        self.stage(stage)["status"] = "done"
        self.progress(stage, steps, peak_bytes)

    def _write(self) -> None:
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
    if not isinstance(data.get("stages"), dict) or any(s not in data["stages"] for s in STAGES):
        raise ConfigError(f"{path} lacks the status of a stage, so it cannot be resumed.")
    return data
