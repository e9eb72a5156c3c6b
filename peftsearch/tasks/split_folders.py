"""Splits that are folders of images: one sub-folder for each class, or a table of the files.

    train/cat/1.png  train/dog/2.png          the name of the sub-folder is the label
    train/metadata.jsonl  train/1.png         rows with file_name and any other columns

Place in the flow: below :mod:`peftsearch.tasks.tables`. Lists files; reads none but tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from peftsearch.errors import ConfigError
from peftsearch.tasks.media import SUFFIXES
from peftsearch.tasks.shapes import Record

_METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
_FILE = "file_name"


def split_folders(folder: Path) -> dict[str, Path]:
    """Return the sub-folders that are splits, by name: those with files of images somewhere."""
    inner = sorted(path for path in folder.iterdir() if path.is_dir())
    return {path.name: path for path in inner if not _hidden(path) and _content(path)}


def read_split_folder(folder: Path, read_table: Callable[[Path], list[Record]]) -> list[Record]:
    """List the rows of one split.

    Args:
        folder: The folder of the split.
        read_table: Reads a table of files.

    Raises:
        ConfigError: The table has no column ``file_name``, or cannot be read.
    """
    table = next((folder / name for name in _METADATA if (folder / name).is_file()), None)
    content = _content(folder)
    if table is not None:
        return [_with_file(record, folder, content) for record in read_table(table)]
    return [
        Record(str(path), {content: str(path.absolute()), "label": _label(path, folder)})
        for path in _files(folder)
    ]


def _with_file(record: Record, folder: Path, content: str) -> Record:
    name = record.values.get(_FILE)
    if not isinstance(name, str) or not name:
        raise ConfigError(
            f'{record.where}: "{_FILE}" is {name!r}, not a text.',
            "A table beside files names one of them in each row.",
        )
    return Record(record.where, {**record.values, content: str((folder / name).absolute())})


def _label(path: Path, folder: Path) -> str | None:
    """Return the name of the class; a file that lies beside the classes has none."""
    first, *rest = path.relative_to(folder).parts
    return first if rest else None


def _files(folder: Path) -> Iterator[Path]:
    """Yield files and those of sub-folders, sorted; what is no image is refused when it is read."""
    for path in sorted(folder.iterdir()):
        if _hidden(path):
            continue
        if path.is_file():
            yield path
        else:
            yield from sorted(p for p in path.rglob("*") if p.is_file() and not _hidden(p))


def _content(folder: Path) -> str:
    """Return what the files of a folder hold, by the first one that is known; ``""`` if none is.

    Only the folder and its sub-folders are looked at: what is no data may be deep.
    """
    kinds = {suffix: kind for kind, suffixes in SUFFIXES.items() for suffix in suffixes}
    paths = (path for pattern in ("*", "*/*") for path in folder.glob(pattern))
    found = (kinds.get(path.suffix.lower(), "") for path in paths if path.is_file())
    return next(filter(None, found), "")


def _hidden(path: Path) -> bool:
    return path.name.startswith(".")
