"""Rows and a task that are given as objects of Python, kept in the run directory.

Place in the flow: :func:`peftsearch.run` with ``data={"train": frame, …}``. Writes ``data/`` and
``task.yaml`` of a run, so that it can be resumed without the objects.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peftsearch.errors import ConfigError
from peftsearch.tasks import Task, all_tasks
from peftsearch.tasks.images import encoded
from peftsearch.tasks.media import SUFFIXES
from peftsearch.tasks.tables import FRAME
from peftsearch.tasks.writing import write_task

OWN_ROWS, OWN_TASK = "data", "task.yaml"
"""Where a run keeps the rows and the task that were given as objects."""
_ENDINGS = tuple(ending for endings in SUFFIXES.values() for ending in endings)


@dataclass(frozen=True)
class Brought:
    """What was given as objects.

    Attributes:
        frames: pandas frames by split; empty where none was given.
        task: The task; ``None`` where it was given by name.
    """

    frames: Mapping[str, Any]
    task: Task | None

    def write(self, folder: Path) -> None:
        """Write everything into a run directory.

        Raises:
            ConfigError: A frame cannot be written.
        """
        if self.task is not None:
            write_task(self.task, folder / OWN_TASK)
        if self.frames:
            (folder / OWN_ROWS).mkdir()
        for name, frame in self.frames.items():
            _write(name, frame, folder / OWN_ROWS / f"{name}.parquet")


def brought(task: object, data: object) -> Brought:
    """Sort out what was given to :func:`peftsearch.run`.

    A task that is registered is taken by its name.

    Raises:
        ConfigError: The frames are not frames, or a split is missing or not known.
    """
    own = task if isinstance(task, Task) and all_tasks().get(task.name) != task else None
    if not isinstance(data, Mapping):
        return Brought({}, own)
    import pandas

    for name, frame in data.items():
        if not isinstance(frame, pandas.DataFrame):
            raise ConfigError(
                f'data["{name}"] is a {type(frame).__name__}, not a pandas.DataFrame.',
                "pandas.DataFrame(rows) makes one of a list of dicts.",
            )
        if frame.empty:
            raise ConfigError(f'data["{name}"] holds no row.')
    if "train" not in data or not {"validation", "test"} & set(data):
        raise ConfigError(
            f"data has the splits {', '.join(map(str, data)) or 'none'}.",
            'Give {"train": frame, "validation": frame}, and "test" if there is one.',
        )
    return Brought(dict(data), own)


def _write(name: str, frame: Any, path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    try:
        table = pyarrow.Table.from_pandas(_kept(frame), preserve_index=False)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
        reason = " ".join(str(part) for part in error.args)
        raise ConfigError(
            f'data["{name}"] cannot be written: {reason}.',
            "Give every column values of one type.",
        ) from error
    own = {**(table.schema.metadata or {}), FRAME: f'data["{name}"]'.encode()}
    parquet.write_table(table.replace_schema_metadata(own), path)


def _kept(frame: Any) -> Any:
    """Return a frame whose images can be found from anywhere: with their bytes, or whole paths."""
    kept = frame.copy(deep=False)
    for name in frame.columns[frame.dtypes.map(lambda dtype: dtype.kind not in "biufcmM")]:
        kept[name] = [_cell(value) for value in frame[name]]
    return kept


def _cell(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str) and value.lower().endswith(_ENDINGS) and Path(value).is_file():
        return str(Path(value).absolute())
    is_image = type(value).__module__.startswith("PIL.")  # Pillow need not be imported for that
    return encoded(value) if is_image else value
