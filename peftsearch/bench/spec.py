"""What a table is made of: model, task, space, recipe and budgets. Torch-free.

A table is a folder: ``table.yaml`` (this), ``space.yaml``, perhaps ``task.yaml``, and what
``peftsearch bench build`` makes of them: ``scores.csv`` and ``table.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from peftsearch import config as configuration
from peftsearch.config import RunConfig, read_yaml
from peftsearch.errors import ConfigError
from peftsearch.nearest import did_you_mean

TABLES = Path(__file__).parent / "tables"
#: Shares of a training after which each architecture is scored on the selection split.
RUNGS = (0.125, 0.25, 0.5, 1.0)
BUDGETS = ("tight", "medium", "loose")


@dataclass(frozen=True)
class TableSpec:
    """One table, as written in ``table.yaml``.

    Attributes:
        name: Name of the table and of its folder.
        description: One line for humans.
        model: Built-in model, or ``None`` if it must be given with ``--model``.
        task: Built-in task, or ``task.yaml`` for the one in the folder.
        data: Whether the rows must be given with ``--data``.
        seeds: Trainings of each architecture.
        steps: Optimiser steps of each.
        budgets: Limits in parameters by name.
        settings: Further configuration, as in ``config.yaml``.
        folder: Where it was read from.
    """

    name: str
    description: str
    model: str | None
    task: str
    seeds: int
    steps: int
    budgets: Mapping[str, int]
    folder: Path
    data: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    def config(
        self,
        model: str | None = None,
        data: Path | None = None,
        budget: int | None = None,
        **settings: Any,
    ) -> RunConfig:
        """Return the configuration of a run on this table's space.

        Args:
            model: Folder of the model, where the table does not name a built-in one.
            data: Folder of the rows, where the task is not a built-in one.
            budget: Limit in parameters; by default the whole space fits.
            settings: Further keys, as in ``config.yaml``.

        Raises:
            ConfigError: Model or data are needed and not given.
        """
        needs = {"--model": self.model is None and model is None, "--data": self.data and not data}
        missing = " and ".join(name for name, needed in needs.items() if needed)
        if missing:
            raise ConfigError(
                f"The table {self.name} needs {missing}: they are not part of the package.",
                f"{self.description}.",
            )
        task = str(self.folder / self.task) if self.task.endswith(".yaml") else self.task
        given: dict[str, Any] = {
            "model": self.model or model,
            "task": task,
            "space": str(self.folder / "space.yaml"),
            "budget": "100%" if budget is None else str(budget),
            "retrain": {"steps": self.steps},
        }
        if self.data:
            given["data"] = str(data)
        for layer in (self.settings, settings):
            for key, value in layer.items():
                section = isinstance(value, Mapping)
                given[key] = {**given.get(key, {}), **value} if section else value
        return configuration.resolve(flags=given)


def tables(folder: Path = TABLES) -> dict[str, Path]:
    """Return the folder of every table by name."""
    return {path.parent.name: path.parent for path in sorted(folder.glob("*/table.yaml"))}


def read_spec(name: str, folder: Path = TABLES) -> TableSpec:
    """Read a table's specification.

    Raises:
        ConfigError: There is no such table, or a key is unknown or missing.
    """
    known = tables(folder)
    if name not in known:
        hint = f"{did_you_mean(name, known)} There are: {', '.join(known)}."
        raise ConfigError(f'table "{name}" is not known.', hint)
    data = read_yaml(known[name] / "table.yaml")
    keys = {item.name for item in fields(TableSpec)} - {"folder"}
    required = keys - {"data", "settings", "model"}
    wrong = sorted((set(data) - keys) | (required - set(data)))
    if wrong:
        raise ConfigError(f"{name}/table.yaml has missing or unknown keys: {', '.join(wrong)}.")
    return TableSpec(folder=known[name], **{"model": None, **data})
