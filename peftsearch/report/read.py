"""Read the files of a run directory that may be unfinished, cut off or damaged.

Place in the flow: run directory -> **read** -> collect. A missing file is not an error here,
because a report can be asked for at any moment of a run; a damaged one is noted and then
treated as missing, so that one bad file never costs the whole report.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

T = TypeVar("T")


@dataclass
class Reader:
    """Reads files below one run directory and remembers what it could not read.

    Attributes:
        root: The run directory.
        notes: One sentence for each file that is there but could not be used.
    """

    root: Path
    notes: list[str] = field(default_factory=list)

    def json(self, name: str) -> dict[str, Any]:
        """Return the object in a JSON file; empty if it is absent or damaged."""
        return self._object(name, json.loads)

    def yaml(self, name: str) -> dict[str, Any]:
        """Return the mapping in a YAML file; empty if it is absent or damaged."""
        return self._object(name, yaml.safe_load)

    def lines(self, name: str) -> list[dict[str, Any]]:
        """Return the objects of a JSON-lines file; a last line cut off by a kill is skipped."""
        rows: list[dict[str, Any]] = []
        bad = 0
        for line in self._text(name).splitlines():
            try:
                row = json.loads(line) if line.strip() else None
            except ValueError:
                bad += 1
                continue
            if isinstance(row, dict):
                rows.append(row)
        if bad > 1:
            self.notes.append(f"{name}: {bad} lines could not be read and were left out.")
        return rows

    def build(self, name: str, make: Callable[[], T], empty: T) -> T:
        """Build one table; if the file's content does not fit, note it and return ``empty``."""
        try:
            return make()
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            reason = f"{type(error).__name__}: {error}"
            self.notes.append(f"{name} does not have the expected content ({reason}).")
            return empty

    def _object(self, name: str, parse: Callable[[str], Any]) -> dict[str, Any]:
        text = self._text(name)
        if not text:
            return {}
        try:
            data = parse(text)
        except (ValueError, yaml.YAMLError) as error:
            self.notes.append(f"{name} could not be read: {str(error).splitlines()[0]}.")
            return {}
        if not isinstance(data, dict):
            self.notes.append(f"{name} does not hold an object and was left out.")
            return {}
        return data

    def _text(self, name: str) -> str:
        try:
            return (self.root / name).read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except OSError as error:
            self.notes.append(f"{name} could not be read: {error.strerror}.")
            return ""
