"""Images and sounds in rows: files as they are, decoded only where they are read.

Place in the flow: below :mod:`peftsearch.tasks.rows`. What a column holds beside text is said by
:data:`peftsearch.tasks.shapes.HOLDS`; decoding is in one file for each kind of content.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peftsearch.errors import ConfigError
from peftsearch.tasks.shapes import Record

#: Endings of the files that hold a kind of content; others are read too where a row names them.
SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "image": (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"),
    "audio": (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".au", ".opus"),
}


@dataclass(frozen=True)
class Media:
    """An encoded image or sound. Two with the same bytes are the same, wherever they lie.

    Attributes:
        digest: SHA-256 of its bytes, in hexadecimal.
        path: The file; ``None`` where the bytes came with the row.
        data: The bytes; empty where they lie in a file.
    """

    digest: str
    path: Path | None = field(default=None, compare=False)
    data: bytes = field(default=b"", compare=False, repr=False)

    def read(self) -> bytes:
        """Return the bytes."""
        return self.data if self.path is None else self.path.read_bytes()

    def __str__(self) -> str:
        return self.digest


def media_of(column: str, record: Record, folder: Path | None) -> Media:
    """Find the file or the bytes of a column: a path, bytes, or both as data sets of the Hub do.

    Args:
        column: Name of the column.
        record: The record.
        folder: Where relative paths begin; those that are not there begin where the program runs.

    Raises:
        ConfigError: It is missing, or there is no such file.
    """
    value: Any = record.values.get(column)
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if value is None or value == "":
        raise ConfigError(f'{record.where}: "{column}" is missing.')
    if isinstance(value, bytes):
        return Media(hashlib.sha256(value).hexdigest(), data=value)
    if not isinstance(value, str | os.PathLike):
        raise ConfigError(
            f'{record.where}: "{column}" is of type {type(value).__name__}.',
            "Give the path of a file, or its bytes.",
        )
    path = _found(Path(value).expanduser(), folder)
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(
            f'{record.where}: "{column}" is the file "{path}", which cannot be read ({reason}).',
            "" if folder is None else f"Relative paths begin at {folder}.",
        ) from error
    return Media(hashlib.sha256(content).hexdigest(), path.absolute())


def _found(path: Path, folder: Path | None) -> Path:
    beside = path if folder is None else folder / path
    return path if path.is_file() and not beside.is_file() else beside
