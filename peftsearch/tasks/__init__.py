"""Tasks: rows, labels, wording and metrics. Torch-free.

A module of this package with a tuple ``TASKS`` adds tasks; so does an entry point of the group
``peftsearch.tasks`` that names a :class:`Task` or a tuple of them.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from peftsearch.errors import ConfigError
from peftsearch.nearest import did_you_mean
from peftsearch.tasks.base import (
    KINDS,
    Builtin,
    Folder,
    Hub,
    Splits,
    Task,
    TaskData,
    load,
    split,
)
from peftsearch.tasks.by_name import from_folder, from_hub, is_by_name
from peftsearch.tasks.files import read_task
from peftsearch.tasks.inference import Wishes
from peftsearch.tasks.metrics import METRICS, score
from peftsearch.tasks.rows import Row

__all__ = [
    "KINDS",
    "METRICS",
    "Builtin",
    "Folder",
    "Hub",
    "Row",
    "Splits",
    "Task",
    "TaskData",
    "Wishes",
    "all_tasks",
    "get",
    "is_by_name",
    "load",
    "read_task",
    "score",
    "split",
]


@cache
def all_tasks() -> dict[str, Task]:
    """Return every registered task by name, those of this package first.

    Raises:
        ConfigError: A plug-in does not hold tasks, or two tasks have one name.
    """
    found: dict[str, Task] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        tasks = getattr(import_module(f"{__name__}.{module.name}"), "TASKS", ())
        _add(found, tasks, module.name)
    for entry in entry_points(group="peftsearch.tasks"):
        try:
            value = entry.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f'the plug-in task "{entry.name}" ({entry.value}) cannot be loaded: {error}.',
                "Repair or uninstall the package that brings it.",
            ) from error
        _add(found, (value,) if isinstance(value, Task) else value, entry.value)
    return found


def _add(found: dict[str, Task], tasks: Iterable[object], where: str) -> None:
    for task in tasks:
        if not isinstance(task, Task):
            raise ConfigError(f"{where}: holds {task!r:.40}, not a Task.")
        if task.name in found:
            raise ConfigError(f'{where}: there already is a task "{task.name}".')
        found[task.name] = task


def get(name: str | Path, wishes: Wishes | None = None, folder: Path | None = None) -> Task:
    """Find a task by name, read it from a YAML file, or make it of a data set.

    Args:
        name: Name of a task, a YAML file, ``hf:owner/name[:config]``, or a kind of task.
        wishes: What the user says about a data set; only where the task is made of one.
        folder: Files of a task that is given by its kind.

    Raises:
        ConfigError: No such task, the file is not a task, or a data set does not say enough.
        MissingError: The data set is not there.
    """
    wishes = wishes or Wishes()
    if is_by_name(str(name)):
        if str(name) in KINDS:
            return from_folder(str(name), folder, wishes)
        return from_hub(str(name), wishes)
    if wishes != Wishes():
        raise ConfigError(
            f'the task "{name}" has its columns already.',
            "Leave out --text-columns, --label-column, --kind and dataset.*; they are for "
            "--task hf:owner/name and --task KIND --data DIR.",
        )
    if str(name).endswith((".yaml", ".yml")):
        return read_task(Path(name))
    tasks = all_tasks()
    if str(name) not in tasks:
        raise ConfigError(
            f'task "{name}" is not known.',
            f"{did_you_mean(str(name), tasks)} List: peftsearch list tasks",
        )
    return tasks[str(name)]
