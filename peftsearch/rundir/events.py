"""What happens in a run, told to ``events.jsonl`` and to whoever listens (the console)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from peftsearch.rundir.lines import JsonLines

#: Called with every event, e.g. to draw progress; must not raise.
Listener = Callable[[dict[str, Any]], None]


def now() -> str:
    """Return the time in UTC, ISO 8601 with milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


class Events:
    """The event log of a run.

    Args:
        path: ``events.jsonl``, or the run directory that holds it.
        listener: Called with every event after it has been written.
    """

    def __init__(self, path: Path, listener: Listener | None = None) -> None:
        self.lines = JsonLines(path / "events.jsonl" if path.is_dir() else path)
        self._listeners = [] if listener is None else [listener]

    def tell(self, listener: Listener) -> None:
        """Call another listener with every event from now on."""
        self._listeners.append(listener)

    def emit(self, stage: str, event: str, **fields: Any) -> None:
        """Write one event.

        Args:
            stage: Name of the stage.
            event: ``start``, ``step``, ``finish``, ``skip``, ``note``, ...
            fields: More keys; JSON types.
        """
        record = {"time": now(), "stage": stage, "event": event, **fields}
        self.lines.append(record)
        for listener in self._listeners:
            listener(record)

    def rewind(self, stage: str, step: int, **match: Any) -> None:
        """Drop the step events of a stage after ``step``, before its loop resumes there."""
        self.lines.truncate_after(step, stage=stage, event="step", **match)

    def close(self) -> None:
        """Close the file."""
        self.lines.close()
