"""Under which conditions a strategy plays on a table: search length and rungs to its scale.

Torch-free.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peftsearch import config as configuration
from peftsearch import effort
from peftsearch.bench.spec import RUNGS, TableSpec
from peftsearch.config import RunConfig
from peftsearch.errors import ConfigError


@dataclass(frozen=True)
class Conditions:
    """What is the same for every play of a benchmark.

    Attributes:
        preset: Says how much is spent.
        overrides: Texts of ``--set``; they come last.
        model: Folder of the model, for tables that do not name a built-in one.
        data: Folder of the rows, for tables without rows of their own.
    """

    preset: str = "quick"
    overrides: tuple[str, ...] = ()
    model: str | None = None
    data: Path | None = None

    def config(self, spec: TableSpec, budget: str, strategy: str, seed: int) -> RunConfig:
        """Return the configuration of one play.

        A preset's search steps are meant for its own single trainings; on a table they are in
        the same proportion to the table's. Rungs are those that the table has, from where it says
        that scores begin to mean something.

        Raises:
            ConfigError: A setting is wrong, or asks for rungs that the table does not have.
        """
        preset = configuration.resolve(flags={"preset": self.preset})
        scale = spec.steps / preset.retrain.steps
        race = {"first_rung": preset.race.first_rung, "last_rung": preset.race.last_rung}
        race = {name: min(max(rung, RUNGS[0]), RUNGS[-1]) for name, rung in race.items()}
        race |= spec.settings.get("race", {})
        settings: dict[str, Any] = {
            "preset": self.preset,
            "strategy": strategy,
            "seed": seed,
            "search": {"steps": max(1, round(preset.search.steps * scale))},
            "race": race,
        }
        found = spec.config(self.model, self.data, spec.budgets[budget], self.overrides, **settings)
        _check(spec, found)
        return found


def _check(spec: TableSpec, config: RunConfig) -> None:
    """Refuse what the table cannot answer."""
    rungs = effort.rungs(config.race.first_rung, config.race.last_rung)
    if not set(rungs) <= set(RUNGS):
        raise ConfigError(
            f"The table {spec.name} has no scores after {rungs[0]:g} of a training.",
            "race.first_rung and race.last_rung: one of " + ", ".join(f"{r:g}" for r in RUNGS),
        )
    if config.retrain.steps != spec.steps:
        raise ConfigError(
            f"The table {spec.name} holds trainings of {spec.steps:,} steps, "
            f"not of {config.retrain.steps:,}.",
            "Leave out --set retrain.steps.",
        )
