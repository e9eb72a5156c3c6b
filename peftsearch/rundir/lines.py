"""Files with one JSON object a line, safe against a process killed in the middle of a line."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from peftsearch import ranks
from peftsearch.rundir.files import write_text


class JsonLines:
    """An appendable file of JSON objects.

    Opening it cuts off a torn last line. It may be used as a context manager. Of several
    processes only the leading one changes the file, and nobody waits for it.

    Args:
        path: The file; it is created at the first :meth:`append`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None
        self._cut_torn_line()

    def append(self, record: dict[str, Any]) -> None:
        """Add one object and hand it to the operating system at once.

        A number that is not finite is written as ``null``: JSON has no NaN, and the event
        that tells of a divergence must not be lost for it.
        """
        if not ranks.leads():
            return
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a", encoding="utf-8", newline="\n")
        text = json.dumps(finite(record), ensure_ascii=False, allow_nan=False)
        self._file.write(text + "\n")
        self._file.flush()

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield the objects written so far."""
        if self.path.exists():
            with self.path.open(encoding="utf-8") as lines:
                for line in lines:
                    yield json.loads(line)

    def truncate_after(self, step: int, **match: Any) -> None:
        """Drop the objects of later steps, before a loop resumes from ``step``.

        Args:
            step: Objects whose ``step`` is larger go.
            match: Only objects with these fields and values are looked at, e.g.
                ``stage="search"``.
        """
        if not ranks.leads() or not self.path.exists():
            return
        self.close()
        kept = [r for r in self.read() if not _later(r, step, match)]
        with ranks.apart():
            write_text(self.path, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in kept))

    def close(self) -> None:
        """Close the file; a later :meth:`append` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> JsonLines:
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file."""
        self.close()

    def _cut_torn_line(self) -> None:
        if not ranks.leads() or not self.path.exists():
            return
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        lines = whole.splitlines(keepends=True)
        while lines and not _is_object(lines[-1]):
            lines.pop()
        size = sum(map(len, lines))
        if size != len(content):
            os.truncate(self.path, size)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _later(record: dict[str, Any], step: int, match: dict[str, Any]) -> bool:
    at = record.get("step")
    return isinstance(at, int) and at > step and all(record.get(k) == v for k, v in match.items())


def finite(value: Any) -> Any:
    """Replace NaN and infinities by ``None``, at every depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return value
