"""Writing files so that a reader, or a run killed half-way, never meets half a file."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from peftsearch import ranks
from peftsearch.errors import ConfigError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path that takes the place of ``path`` when the block ends well.

    The temporary file lies in the same folder, because a rename is atomic only within one
    file system. After an exception ``path`` is as it was and the temporary file is gone.

    Of several processes the leading one writes. It begins when all have come here, so that all
    have seen the same files until then, and all go on when the file is there. What the others
    write into their temporary path is lost.

    Args:
        path: The file to write; its folder is created.

    Yields:
        The path to write to; it ends like ``path``.
    """
    ranks.wait()
    if not ranks.leads():
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder) / path.name
        ranks.wait()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".tmp-", suffix=f"-{path.name}", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _give_usual_mode(temporary)
        _flush(temporary)
        os.replace(temporary, path)
        ranks.wait()
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def _give_usual_mode(path: Path) -> None:
    """Undo the private mode of mkstemp: a run directory is read by colleagues too."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def _flush(path: Path) -> None:
    """Bring the content to the disk before the rename, or a power cut could leave it empty."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a binary file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def copy_file(source: Path, path: Path) -> None:
    """Copy a file atomically."""
    with atomic_path(path) as temporary:
        shutil.copyfile(source, temporary)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically, with Unix line ends on every system."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically, indented by 2, keys in the order given.

    Raises:
        ValueError: A number is NaN or infinite, which JSON cannot hold.
        TypeError: Something is not a JSON type.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ConfigError: Absent, not readable, or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist.") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path} is not a JSON file: {error}.") from error
