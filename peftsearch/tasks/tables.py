"""Reading rows from files: .jsonl, .jsonl.gz, .csv, .tsv, .parquet, and texts from .txt.

Folders of images are rows too, see :mod:`peftsearch.tasks.split_folders`.

Place in the flow: below :mod:`peftsearch.tasks.base`. Reads the files of a folder.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from peftsearch.errors import ConfigError, MissingError
from peftsearch.nearest import did_you_mean
from peftsearch.tasks.rows import MOST_PROBLEMS, Record
from peftsearch.tasks.split_folders import read_split_folder, split_folders

SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".tsv", ".parquet")
#: Texts with blank lines between them.
TEXTS = ".txt"
#: Metadata of a parquet file that was a frame: what messages call it.
FRAME = b"peftsearch frame"


class Tables:
    """The row files of a folder, by split name.

    Args:
        folder: Folder that holds ``train`` and ``validation``, and optionally ``test``, as files
            or as folders of images; a file goes before a folder of the same name.

    Raises:
        MissingError: There is no such folder.
        ConfigError: Two files stand for one split.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            siblings = [p.name for p in folder.parent.glob("*") if p.is_dir()]
            near = did_you_mean(folder.name, siblings) if siblings else ""
            hint = near if near.startswith("Did") else "Check the path after --data."
            raise MissingError(f'there is no folder "{folder}".', hint)
        self.folder = folder
        self._files: dict[str, Path] = {}
        self._folders = split_folders(folder)
        for path in sorted(folder.iterdir()):
            for suffix in (*SUFFIXES, TEXTS):
                if path.name.endswith(suffix) and path.is_file():
                    name = path.name.removesuffix(suffix)
                    if name in self._files:
                        raise ConfigError(
                            f'"{folder}" holds two files of rows named "{name}": '
                            f"{self._files[name].name} and {path.name}.",
                            "Keep one of them.",
                        )
                    self._files[name] = path

    def __contains__(self, name: str) -> bool:
        """Whether there is a file or a folder for a split."""
        return name in self._files or name in self._folders

    def read(self, *names: str) -> list[Record]:
        """Read the first file there is among the names.

        Raises:
            MissingError: There is none.
            ConfigError: A line cannot be parsed, or the file holds no row.
        """
        for name in names:
            if name in self._files:
                return read_table(self._files[name])
            if name in self._folders:
                return read_split_folder(self._folders[name], read_table)
        there = sorted(p.name for p in (*self._files.values(), *self._folders.values()))
        found = ", ".join(there) or "no file of rows"
        raise MissingError(
            f'"{self.folder}" has no file "{names[0]}" (found: {found}).',
            f"Add {names[0]} as one of {', '.join(SUFFIXES)}.",
        )


def read_table(path: Path) -> list[Record]:
    """Read all rows of one file.

    Raises:
        ConfigError: Lines cannot be parsed (each is named), or there is no row.
    """
    try:
        if path.suffix == ".parquet":
            records = _read_parquet(path)
        elif path.suffix in (".csv", ".tsv"):
            records = _read_separated(path)
        elif path.suffix == TEXTS:
            records = _read_texts(path)
        else:
            records = _read_json_lines(path)
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: not UTF-8 at byte {error.start}.", "Save the file as UTF-8."
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ConfigError(f"{path}: damaged gzip file ({error}).") from error
    if not records:
        raise ConfigError(f"{path}: holds no row.")
    return records


def _text(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    return content.decode("utf-8-sig")


def _read_json_lines(path: Path) -> list[Record]:
    records: list[Record] = []
    problems: list[ConfigError] = []
    # Not splitlines(): JSON strings may hold line separators such as U+2028.
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            problems.append(ConfigError(f"{where}: not JSON ({error.msg})."))
            continue
        if isinstance(values, dict):
            records.append(Record(where, values))
        else:
            problems.append(ConfigError(f"{where}: not a JSON object but {line.strip()[:40]!r}."))
    _raise_some(problems)
    return records


def _read_texts(path: Path) -> list[Record]:
    """Read texts with blank lines between them, as rows with the one column ``text``."""
    records: list[Record] = []
    begun, lines = 1, list[str]()
    for number, line in enumerate([*_text(path).split("\n"), ""], 1):
        if line.strip():
            begun = begun if lines else number
            lines.append(line.rstrip("\r"))
        elif lines:
            records.append(Record(f"{path} line {begun}", {"text": "\n".join(lines)}))
            lines = []
    return records


def _read_separated(path: Path) -> list[Record]:
    text = _text(path)
    if path.suffix == ".csv":
        return list(_separated(path, text, ",", csv.QUOTE_MINIMAL))
    # Tab-separated files exist with quoting (pandas) and without (GLUE). Read without, a file
    # with quoting would keep its quotes; read with, a text that begins with a quote breaks.
    try:
        return list(_separated(path, text, "\t", csv.QUOTE_MINIMAL))
    except ConfigError:
        return list(_separated(path, text, "\t", csv.QUOTE_NONE))


def _separated(path: Path, text: str, delimiter: str, quoting: Literal[0, 3]) -> Iterator[Record]:
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True
    )
    problems: list[ConfigError] = []
    header: list[str] = []
    try:
        for fields in reader:
            where = f"{path} line {reader.line_num}"
            if not header:
                header = fields
            elif len(fields) == len(header):
                yield Record(where, dict(zip(header, fields, strict=True)))
            elif fields:
                seen = f"{len(fields)} field{'s' * (len(fields) != 1)}"
                problems.append(ConfigError(f"{where}: {seen}, but the header has {len(header)}."))
    except csv.Error as error:
        problems.append(ConfigError(f"{path} line {reader.line_num}: not parsable ({error})."))
    _raise_some(problems)


def _read_parquet(path: Path) -> list[Record]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
        rows = table.to_pylist()
    except (pyarrow.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{path}: not a parquet file ({reason}).") from error
    name = (table.schema.metadata or {}).get(FRAME, str(path).encode()).decode()
    return [Record(f"{name} row {number}", row) for number, row in enumerate(rows, 1)]


def _raise_some(problems: list[ConfigError]) -> None:
    if len(problems) > MOST_PROBLEMS:
        rest = ConfigError(f"… and {len(problems) - MOST_PROBLEMS} more.")
        raise ConfigError.collected([*problems[:MOST_PROBLEMS], rest])
    if problems:
        raise ConfigError.collected(problems)
