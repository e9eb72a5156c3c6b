"""The outer search space: which keys of the configuration are tuned, and between what.

Place in the flow: ``--tune-space`` or the packaged default -> **space** -> the trials.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from peftsearch import config as configuration
from peftsearch.catalogue import method_facts, space_path
from peftsearch.config import Names, RunConfig, known_names, read_yaml
from peftsearch.config.reading import find_leaf
from peftsearch.config.schema import Leaf, tree
from peftsearch.config.values import check, shown
from peftsearch.errors import ConfigError
from peftsearch.nearest import did_you_mean
from peftsearch.space_spec import parse_space

#: Keys that are not tuned, and why.
REFUSED = {
    **dict.fromkeys(
        ("model", "task", "data", "train_rows", "test_rows", "selection_share", "seed"),
        "scores of trials would not be comparable",
    ),
    **dict.fromkeys(
        ("race.first_rung", "race.last_rung", "retrain.steps", "retrain.batch_size"),
        "trials would be scored after trainings of different length",
    ),
    **dict.fromkeys(
        ("seeds", "retrain.baselines", "retrain.random_baselines", "export.targets", "out"),
        "a trial does nothing with it",
    ),
    **dict.fromkeys(
        ("preset", "architecture", "device", "precision"), "it is given once, for all trials"
    ),
}
_FIELDS = ("low", "high", "log", "step", "choices", "also")
_EXAMPLE = "Example: search.arch_lr: {low: 0.02, high: 0.4, log: true}"


@dataclass(frozen=True)
class Dimension:
    """One tuned key.

    Attributes:
        key: Dotted key of the configuration; its name in the study.
        kind: ``int``, ``float``, or ``choice``.
        low: Lower end, included; for numbers.
        high: Upper end, included.
        log: Whether to draw factors and not differences.
        step: Distance of whole numbers.
        choices: The values of a choice.
        also: Further keys that get the same value.
    """

    key: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: int = 1
    choices: tuple[Any, ...] = ()
    also: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what makes it this dimension, for the study's own record."""
        if self.kind == "choice":
            return {"choices": list(self.choices), "also": list(self.also)}
        found = {"low": self.low, "high": self.high, "log": self.log, "also": list(self.also)}
        return found | ({"step": self.step} if self.kind == "int" else {})


def read_space(path: Path | None, base: RunConfig) -> tuple[Dimension, ...]:
    """Read an outer search space, or the packaged one, cut to what matters in a configuration.

    Args:
        path: The file of ``--tune-space``; ``None``: the packaged one.
        base: What is not tuned.

    Raises:
        ConfigError: Every problem of the file, together.
    """
    if path is not None:
        return parse(read_yaml(path), str(path))
    text = resources.files("peftsearch.tune").joinpath("default.yaml").read_text("utf-8")
    return tuple(d for d in parse(yaml.safe_load(text), "default.yaml") if _matters(d, base))


def parse(data: Any, where: str, names: Names | None = None) -> tuple[Dimension, ...]:
    """Check a mapping of keys to ranges; keys may be dotted or nested, as in ``config.yaml``.

    Raises:
        ConfigError: Every problem found.
    """
    if not isinstance(data, Mapping) or not data:
        raise ConfigError(f"{where}: a tune space is a mapping of keys to ranges.", _EXAMPLE)
    names = names or known_names()
    problems: list[ConfigError] = []
    found: list[Dimension] = []
    for path, value in _flatten(data):
        try:
            found.append(_dimension(path, value, f"{where}: ", names))
        except ConfigError as error:
            problems += error.problems
    problems += _twice(found, where)
    if problems:
        raise ConfigError.collected(problems)
    return tuple(found)


def assemble(
    base: RunConfig, space: Sequence[Dimension], params: Mapping[str, Any], names: Names
) -> RunConfig:
    """Return the configuration of a trial.

    Raises:
        ConfigError: The values do not go together.
    """
    mapping = configuration.to_mapping(base)
    for each in space:
        for key in (each.key, *each.also):
            section, _, name = key.rpartition(".")
            place = mapping
            for part in section.split(".") if section else ():
                place = place[part]
            place[name] = params[each.key]
    return configuration.from_mapping(mapping, "trial", names)


def _flatten(data: Mapping[Any, Any], section: str = "") -> Iterator[tuple[str, Any]]:
    sections, leaves = tree()
    for key, value in data.items():
        path = f"{section}.{key}".lstrip(".")
        opened = path in sections or (path in leaves and leaves[path].kind == "dict")
        if isinstance(value, Mapping) and opened:
            yield from _flatten(value, path)
        else:
            yield path, value


def _dimension(path: str, value: Any, where: str, names: Names) -> Dimension:
    leaf = _tunable(path, where, names)
    if not isinstance(value, Mapping):
        message = f"{where}{path} must have low and high, or choices, not {shown(value)}."
        raise ConfigError(message, _EXAMPLE)
    problems = [
        ConfigError(f'{where}unknown key "{path}.{name}".', did_you_mean(str(name), _FIELDS))
        for name in value
        if name not in _FIELDS
    ]
    if problems:
        raise ConfigError.collected(problems)
    also = value.get("also", [])
    if not isinstance(also, list):
        raise ConfigError(f"{where}{path}.also must be a list of keys, not {shown(also)}.")
    for key in also:
        if _tunable(str(key), where, names).kind != leaf.kind:
            raise ConfigError(f"{where}{path}.also: {key} is of another kind than {path}.")
    if "choices" in value:
        return _choice(path, leaf, value, where, names, tuple(map(str, also)))
    return _range(path, leaf, value, where, names, tuple(map(str, also)))


def _tunable(path: str, where: str, names: Names) -> Leaf:
    """Return the key, or refuse it."""
    leaf, problem = find_leaf(path)
    if leaf is None:
        assert problem is not None
        raise ConfigError(f"{where}{problem.message}", problem.hint)
    section, _, method = path.partition(".")
    if section == "learning_rates" and names.methods is not None and method not in names.methods:
        hint = did_you_mean(method, names.methods)
        raise ConfigError(f'{where}unknown key "{path}": no such method.', hint)
    if path in REFUSED:
        raise ConfigError(f"{where}{path} cannot be tuned: {REFUSED[path]}.", "Leave it out.")
    if leaf.kind in ("list", "dict"):
        raise ConfigError(f"{where}{path} cannot be tuned: it is not a single value.")
    return leaf


def _choice(
    path: str, leaf: Leaf, value: Mapping[str, Any], where: str, names: Names, also: Sequence[str]
) -> Dimension:
    if set(value) - {"choices", "also"}:
        raise ConfigError(f"{where}{path} has choices, so low, high, log and step say nothing.")
    choices = value["choices"]
    if not isinstance(choices, list) or len(choices) < 2:
        message = f"{where}{path}.choices must be a list of two or more, not {shown(choices)}."
        raise ConfigError(message)
    checked = tuple(check(leaf, choice, where, names) for choice in choices)
    return Dimension(path, "choice", choices=checked, also=tuple(also))


def _range(
    path: str, leaf: Leaf, value: Mapping[str, Any], where: str, names: Names, also: Sequence[str]
) -> Dimension:
    if leaf.kind not in ("int", "float"):
        message = f"{where}{path} holds {leaf.kind}, which has no low and high."
        raise ConfigError(message, f"Example: {path}: {{choices: [...]}}")
    missing = [name for name in ("low", "high") if name not in value]
    if missing:
        raise ConfigError(f"{where}{path} has no {' and no '.join(missing)}.", _EXAMPLE)
    low, high = (check(leaf, value[name], where, names) for name in ("low", "high"))
    log, step = value.get("log", False), value.get("step", 1)
    if low is None or high is None or low >= high:
        raise ConfigError(f"{where}{path}.low must be below high, not {low} and {high}.")
    if not isinstance(log, bool):
        raise ConfigError(f"{where}{path}.log must be true or false, not {shown(log)}.")
    if log and low <= 0:
        raise ConfigError(f"{where}{path}.low must be above 0 for log: true, not {low}.")
    if "step" in value and (leaf.kind != "int" or log or type(step) is not int or step < 1):
        message = f"{where}{path}.step is for whole numbers without log, at least 1, not {step}."
        raise ConfigError(message)
    return Dimension(path, leaf.kind, low, high, log, step, also=tuple(also))


def _twice(found: Sequence[Dimension], where: str) -> list[ConfigError]:
    seen: set[str] = set()
    problems = []
    for key in (key for each in found for key in (each.key, *each.also)):
        if key in seen:
            problems.append(ConfigError(f"{where}: {key} is there twice."))
        seen.add(key)
    return problems


def methods_of(names: Sequence[str]) -> set[str]:
    """Return the methods that the candidates of search spaces have."""
    found: set[str] = set()
    for name in names:
        path = space_path(name)
        spec = parse_space(read_yaml(path), method_facts(), path.name)
        found |= {c.method for rule in spec.rules for c in rule.candidates}
    return found


def _matters(each: Dimension, base: RunConfig) -> bool:
    """Whether a packaged dimension can change anything."""
    if each.key == "space":
        return base.space == "default" and base.architecture is None
    section = each.key.partition(".")[0]
    if section == "search":
        return base.strategy == "priced" and base.architecture is None
    if section == "learning_rates" and base.architecture is None:
        keys = {key.partition(".")[2] for key in (each.key, *each.also)}
        return bool(keys & methods_of([base.space]))
    return True


def of_baseline(space: Sequence[Dimension], method: str) -> tuple[Dimension, ...]:
    """Return what is tuned of a uniform baseline: its own rate, and what every training has."""
    rate = f"learning_rates.{method}"
    found = []
    for each in space:
        if rate in (each.key, *each.also):
            found.append(replace(each, key=rate, also=()))
        elif each.key.partition(".")[0] not in ("search", "learning_rates", "space", "strategy"):
            found.append(each)
    return tuple(found)
