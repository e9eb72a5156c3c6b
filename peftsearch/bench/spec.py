"""What a table is made of: model, task, space, recipe and budgets. Torch-free.

A table is a folder: ``table.yaml`` (this), ``space.yaml``, perhaps ``task.yaml``, and what
``peftsearch bench build`` makes of them: ``scores.csv`` and ``table.json``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from peftsearch import config as configuration
from peftsearch.config import RunConfig, read_yaml
from peftsearch.errors import ConfigError
from peftsearch.nearest import did_you_mean

TABLES = Path(__file__).parent / "tables"
SPEC, SPACE, SCORES, FACTS = "table.yaml", "space.yaml", "scores.csv", "table.json"
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
        scoring: Cost of scoring on the selection split, in single trainings, as measured.
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
    scoring: float = 0.0
    data: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    def needs(self, model: str | None = None, data: Path | None = None) -> list[str]:
        """Return the options that this table wants and that are not given."""
        wanted = {"--model DIR": self.model is None and not model}
        wanted["--data DIR"] = self.data and not data
        return [name for name, needed in wanted.items() if needed]

    def config(
        self,
        model: str | None = None,
        data: Path | None = None,
        budget: int | None = None,
        overrides: Sequence[str] = (),
        **settings: Any,
    ) -> RunConfig:
        """Return the configuration of a run on this table's space, on the processor.

        Args:
            model: Folder of the model, where the table does not name a built-in one.
            data: Folder of the rows, where the task is not a built-in one.
            budget: Limit in parameters; by default the whole space fits.
            overrides: Texts of ``--set``, which come last.
            settings: Further keys, as in ``config.yaml``.

        Raises:
            ConfigError: Model or data are needed and not given.
        """
        missing = " and ".join(self.needs(model, data))
        if missing:
            raise ConfigError(
                f"The table {self.name} needs {missing}, not part of the package: "
                f"{self.description}."
            )
        task = str(self.folder / self.task) if self.task.endswith(".yaml") else self.task
        given: dict[str, Any] = {
            "model": self.model or model,
            "task": task,
            "space": str(self.folder / SPACE),
            "device": "cpu",
            "budget": "100%" if budget is None else str(budget),
            "retrain": {"steps": self.steps},
        }
        if self.data:
            given["data"] = str(data)
        for layer in (self.settings, settings):
            for key, value in layer.items():
                section = isinstance(value, Mapping)
                given[key] = {**given.get(key, {}), **value} if section else value
        return configuration.resolve(flags=given, overrides=overrides)


def tables(folder: Path = TABLES) -> dict[str, Path]:
    """Return the folder of every table by name."""
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{SPEC}"))}


def read_spec(name: str, folder: Path = TABLES) -> TableSpec:
    """Read a table's specification.

    Args:
        name: A table of the package, or a folder that holds one.
        folder: Where the package has its tables.

    Raises:
        ConfigError: There is no such table, or a key is unknown or missing.
    """
    known = tables(folder)
    if name not in known and not (Path(name) / SPEC).is_file():
        hint = f"{did_you_mean(name, known)} List: peftsearch list tables"
        raise ConfigError(f'table "{name}" is not known, and no folder with a {SPEC}.', hint)
    path = known.get(name, Path(name)) / SPEC
    data = read_yaml(path)
    keys = {item.name for item in fields(TableSpec)} - {"folder"}
    required = keys - {"data", "settings", "model", "scoring"}
    given = set(data) if isinstance(data, Mapping) else set()
    wrong = sorted((given - keys) | (required - given))
    if wrong:
        raise ConfigError(f"{path} has missing or unknown keys: {', '.join(wrong)}.")
    return TableSpec(folder=path.parent, **{"model": None, **data})
