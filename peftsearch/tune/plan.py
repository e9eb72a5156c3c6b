"""What a study is: fixed when it begins, and compared when a worker joins it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection

from peftsearch import config as configuration
from peftsearch.baselines import UNIFORM
from peftsearch.config import RunConfig, known_names
from peftsearch.config.values import shown
from peftsearch.effort import rungs
from peftsearch.errors import ConfigError
from peftsearch.tune.space import Dimension, assemble, of_baseline

OBJECTIVES = ("score", "parameters")
#: Keys of a configuration in which workers may differ.
_FREE = ("device", "out")
_DRAWS = 32


@dataclass(frozen=True)
class Plan:
    """A study.

    Attributes:
        name: Its name in the storage.
        base: What is not tuned.
        space: What is.
        sampler: Name of the sampler.
        pruner: Name of the pruner.
        objectives: ``score``, or ``score`` and ``parameters``.
        trials: How many there shall be in all.
        baseline: The uniform baseline that is tuned instead of a search, e.g. ``uniform-lora``.
    """

    name: str
    base: RunConfig
    space: tuple[Dimension, ...]
    sampler: str
    pruner: str
    objectives: tuple[str, ...]
    trials: int
    baseline: str = ""

    @property
    def directions(self) -> list[StudyDirection]:
        """Optuna's directions; every metric of the package is better when higher."""
        up, down = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
        return [up if name == "score" else down for name in self.objectives]

    @property
    def shares(self) -> tuple[float, ...]:
        """The rungs of the race, at which a trial is scored, as shares of a training."""
        return rungs(self.base.race.first_rung, self.base.race.last_rung)

    def config(self, params: Mapping[str, Any]) -> RunConfig:
        """Return the configuration of a trial.

        Raises:
            ConfigError: The values do not go together.
        """
        return assemble(self.base, self.space, params, known_names())

    def record(self) -> dict[str, Any]:
        """Return what is written into the study, and must agree when a worker joins."""
        settings = configuration.to_mapping(self.base)
        for key in _FREE:
            settings.pop(key)
        return {
            "format": 1,
            "settings": settings,
            "space": {each.key: each.to_json() for each in self.space},
            "sampler": self.sampler,
            "pruner": self.pruner,
            "objectives": list(self.objectives),
            "baseline": self.baseline,
        }

    def of_baseline(self, name: str) -> Plan:
        """Return the study that tunes a uniform baseline as this one tunes the search."""
        space = of_baseline(self.space, UNIFORM[name])
        return replace(self, name=f"{self.name}.{name}", space=space, baseline=name)


def distribution(each: Dimension) -> BaseDistribution:
    """Return a dimension as Optuna has it."""
    if each.kind == "choice":
        return CategoricalDistribution(each.choices)
    if each.kind == "int":
        step = 1 if each.log else each.step
        high = each.low + (each.high - each.low) // step * step
        return IntDistribution(int(each.low), int(high), log=each.log, step=step)
    return FloatDistribution(each.low, each.high, log=each.log)


def check(plan: Plan) -> None:
    """Refuse a space of which some values do not go together, such as two ends that overlap.

    Raises:
        ConfigError: The first such values, and why.
    """
    draw = random.Random(0)
    names = known_names()
    for _ in range(_DRAWS):
        params = {d.key: _drawn(d, draw) for d in plan.space}
        try:
            assemble(plan.base, plan.space, params, names)
        except ConfigError as error:
            tuned = ", ".join(f"{key}={value}" for key, value in params.items())
            message = f"The tune space holds what does not go together: {error.message}"
            raise ConfigError(message, f"For example {tuned}. {error.hint}".strip()) from None


def _drawn(each: Dimension, draw: random.Random) -> Any:
    """Return one of the ends, where things go wrong, or one of the choices."""
    return draw.choice(each.choices if each.kind == "choice" else (each.low, each.high))


def differences(stored: Mapping[str, Any], given: Mapping[str, Any], path: str = "") -> list[str]:
    """Return a line for everything in which two records differ."""
    lines = []
    for key in dict.fromkeys((*stored, *given)):
        a, b = stored.get(key), given.get(key)
        here = f"{path}.{key}".lstrip(".")
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            lines += differences(a, b, here)
        elif _plain(a) != _plain(b):
            lines.append(f"  {here}: the study has {shown(a)}, asked for is {shown(b)}")
    return lines


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
