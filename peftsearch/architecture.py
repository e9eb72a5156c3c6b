"""An architecture: the hard assignment of candidates to sites, as data.

Place in the flow: discretise -> retrain, export, report. ``architecture.json`` alone is
enough to build and train the architecture on any model that has those sites.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peftsearch.errors import ConfigError
from peftsearch.site import split_id

FORMAT = 1
NONE = "none"


@dataclass(frozen=True, order=True)
class Choice:
    """What one site gets.

    Attributes:
        site: Site id, e.g. ``encoder.03.attention``.
        method: Method name; ``"none"`` for nothing.
        size: Rank, bottleneck or length; 0 for ``none`` and 1 for methods without a size.
        modules: Modules of the site that the method touches, e.g. ``("q", "v")``.
        num_params: Trained parameters of this choice.
    """

    site: str
    method: str = NONE
    size: int = 0
    modules: tuple[str, ...] = ()
    num_params: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return one entry of ``choices``."""
        if self.method == NONE:
            return {"site": self.site, "method": NONE, "num_params": 0}
        return {
            "site": self.site,
            "method": self.method,
            "size": self.size,
            "modules": list(self.modules),
            "num_params": self.num_params,
        }


@dataclass(frozen=True)
class Architecture:
    """A complete assignment.

    Attributes:
        model: Model id or folder it was found on.
        task: Task it was found on.
        backbone_parameters: Denominator of the budget.
        requested: The budget as typed.
        limit: The budget in parameters.
        choices: One or more per site, in the order of the sites; a site with nothing has one
            choice with method ``none``.
    """

    model: str
    task: str
    backbone_parameters: int
    requested: str
    limit: int
    choices: tuple[Choice, ...]

    @property
    def num_params(self) -> int:
        """Trained parameters in all, head excluded."""
        return sum(choice.num_params for choice in self.choices)

    @property
    def active(self) -> tuple[Choice, ...]:
        """The choices that insert something."""
        return tuple(choice for choice in self.choices if choice.method != NONE)

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods used, sorted."""
        return tuple(sorted({choice.method for choice in self.active}))

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``architecture.json``."""
        return {
            "format": FORMAT,
            "model": self.model,
            "task": self.task,
            "backbone_parameters": self.backbone_parameters,
            "budget": {"requested": self.requested, "limit": self.limit},
            "num_params": self.num_params,
            "choices": [choice.to_json() for choice in self.choices],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], where: str = "architecture") -> Architecture:
        """Read and check the content of ``architecture.json``.

        Raises:
            ConfigError: Unknown format, missing or unknown keys, sums that do not agree.
        """
        if data.get("format") != FORMAT:
            raise ConfigError(
                f"{where}: format {data.get('format')!r} is not known; this version reads {FORMAT}."
            )
        _check_keys(data, where)
        _check_shapes(data, where)
        choices = tuple(_choice(entry, where) for entry in data["choices"])
        architecture = cls(
            model=data["model"],
            task=data["task"],
            backbone_parameters=data["backbone_parameters"],
            requested=data["budget"]["requested"],
            limit=data["budget"]["limit"],
            choices=choices,
        )
        if architecture.num_params != data["num_params"]:
            raise ConfigError(
                f"{where}: num_params is {data['num_params']}, "
                f"its choices add up to {architecture.num_params}."
            )
        return architecture

    @classmethod
    def load(cls, path: str | Path) -> Architecture:
        """Read an ``architecture.json``.

        Raises:
            ConfigError: The file is absent, is not JSON, or is not an architecture.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ConfigError(f"{path} does not exist.") from error
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ConfigError(f"{path} is not a JSON file: {error}.") from error
        if not isinstance(data, dict):
            raise ConfigError(f"{path} is not an architecture: a JSON object was expected.")
        return cls.from_json(data, str(path))

    def save(self, path: str | Path) -> None:
        """Write ``architecture.json`` atomically."""
        from peftsearch.rundir import write_json

        write_json(Path(path), self.to_json())


_KEYS = {"format", "model", "task", "backbone_parameters", "budget", "num_params", "choices"}


def _check_keys(data: Mapping[str, Any], where: str) -> None:
    missing, unknown = sorted(_KEYS - set(data)), sorted(set(data) - _KEYS)
    if missing:
        raise ConfigError(f"{where}: missing key {', '.join(missing)}.")
    if unknown:
        raise ConfigError(f"{where}: unknown key {', '.join(unknown)}.")


def _check_shapes(data: Mapping[str, Any], where: str) -> None:
    budget = data["budget"]
    if not isinstance(budget, Mapping) or set(budget) != {"requested", "limit"}:
        raise ConfigError(f"{where}: budget must have the keys limit and requested.")
    if not isinstance(data["choices"], list):
        raise ConfigError(f"{where}: choices must be a list.")
    numbers = {
        "backbone_parameters": data["backbone_parameters"],
        "num_params": data["num_params"],
        "budget.limit": budget["limit"],
    }
    for key, value in numbers.items():
        if not isinstance(value, int) or value < (key == "backbone_parameters"):
            raise ConfigError(f"{where}: {key} must be a count of parameters, not {value!r}.")


def _choice(entry: Any, where: str) -> Choice:
    if (
        not isinstance(entry, Mapping)
        or not isinstance(entry.get("modules", []), list)
        or not isinstance(entry.get("method", ""), str)
    ):
        raise ConfigError(f"{where}: the choice {entry!r} is not valid.")
    unknown = sorted(set(entry) - {"site", "method", "size", "modules", "num_params"})
    if unknown:
        raise ConfigError(f"{where}: unknown key {', '.join(unknown)} in a choice.")
    try:
        split_id(entry["site"])
        return Choice(
            site=entry["site"],
            method=entry["method"],
            size=int(entry.get("size", 0)),
            modules=tuple(entry.get("modules", ())),
            num_params=int(entry["num_params"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{where}: the choice {dict(entry)} is not valid ({error}).") from error
