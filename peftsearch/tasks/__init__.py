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
    Builtin,
    Folder,
    Hub,
    Splits,
    Task,
    TaskData,
    load,
    split,
)
from peftsearch.tasks.files import read_task
from peftsearch.tasks.metrics import METRICS, score
from peftsearch.tasks.rows import Row

__all__ = [
    "METRICS",
    "Builtin",
    "Folder",
    "Hub",
    "Row",
    "Splits",
    "Task",
    "TaskData",
    "all_tasks",
    "get",
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


def get(name: str | Path) -> Task:
    """Find a task by name, or read it from a YAML file.

    Raises:
        ConfigError: No such task, or the file is not a task.
    """
    if str(name).endswith((".yaml", ".yml")):
        return read_task(Path(name))
    tasks = all_tasks()
    if str(name) not in tasks:
        raise ConfigError(
            f'task "{name}" is not known.',
            f"{did_you_mean(str(name), tasks)} List: peftsearch list tasks",
        )
    return tasks[str(name)]
