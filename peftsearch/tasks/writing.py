"""Writing a task as the YAML file that :mod:`peftsearch.tasks.files` reads."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from peftsearch.errors import ConfigError
from peftsearch.tasks.base import Task

#: What a file cannot say: where rows come from is said apart, and a function is code.
_NOT_WRITTEN = ("source", "prepare")
#: What files of a kind leave out for another value than a task's own default.
_OWN_DEFAULTS = {"extraction": ("max_length",), "speech-recognition": ("max_target_length",)}


def write_task(task: Task, path: Path) -> None:
    """Write a task; reading it again gives the same one, without its rows.

    Raises:
        ConfigError: It prepares its rows with a function.
    """
    if task.prepare is not None:
        raise ConfigError(
            f'the task "{task.name}" prepares its rows with a function, which no file can hold.',
            "Prepare the rows before they are given, or register the task as a plug-in.",
        )
    content: dict[str, Any] = {}
    for item in fields(task):
        value = getattr(task, item.name)
        known = item.name == "label_column" and value in task.columns  # the text itself
        own = item.name in _OWN_DEFAULTS.get(task.kind, ())
        if item.name in _NOT_WRITTEN or (value == item.default and not own) or known:
            continue
        content[item.name] = list(value) if isinstance(value, tuple) else value
    content["metrics"] = list(task.metrics)
    if not task.description:
        del content["description"]  # a file says something: by default where it is from
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")
