"""``FILE.yaml`` of a sweep, read and checked as a whole before anything starts.

Place in the flow: the file -> axes -> **points**, each a name and a configuration.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from peftsearch import config as configuration
from peftsearch import tasks
from peftsearch.catalogue import method_facts, space_path
from peftsearch.config import Names, RunConfig, known_names, read_yaml
from peftsearch.config.layers import FREE_ON_RESUME
from peftsearch.config.values import shown
from peftsearch.errors import ConfigError
from peftsearch.nearest import did_you_mean
from peftsearch.space_spec import parse_space
from peftsearch.sweep.axes import SET, Axis, Values, checked, entries, excluder, label_of, read_axes

KEYS = ("name", "description", "common", "matrix", "include", "exclude")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LONGEST = 80


@dataclass(frozen=True)
class Point:
    """One run of a sweep.

    Attributes:
        name: Of its folder: what tells it from the others, and a digest of its configuration,
            so that the same configuration has the same name on every machine and after every
            change of the file.
        labels: Its value on every axis, as shown; keys of ``include`` likewise.
        config: What it runs.
    """

    name: str
    labels: Mapping[str, str]
    config: RunConfig

    @property
    def digest(self) -> str:
        """The part of the name that stands for the configuration."""
        return self.name.rpartition("-")[2]


@dataclass(frozen=True)
class Sweep:
    """A checked file.

    Attributes:
        path: The file.
        name: Of the sweep.
        points: Its runs, in the order of the file: the last axis changes fastest.
    """

    path: Path
    name: str
    points: tuple[Point, ...]


def read_sweep(path: Path, environ: Mapping[str, str] | None = None) -> Sweep:
    """Read a sweep; what the file does not say comes from preset and environment.

    Args:
        path: The file.
        environ: Environment variables; ``PEFTSEARCH_*`` count less than the file.

    Raises:
        ConfigError: Every problem of the file and of every run that it describes.
    """
    data = read_yaml(path)
    if not isinstance(data, Mapping):
        message = f"{path}: a sweep is a mapping with name and matrix."
        raise ConfigError(message, "Example: {name: budgets, matrix: {budget: [1%, 2%]}}")
    names, problems = known_names(), _unknown(path, data)
    name = _name(path, data.get("name"), problems)
    common = checked(data.get("common"), f"{path}: common: ", names, problems)
    matrix = read_axes(data.get("matrix"), f"{path}: matrix: ", names, problems)
    axes = [axis.name for axis in matrix]
    wanted = [
        *_product(path, data.get("exclude"), common, matrix, names, problems),
        *_included(path, data.get("include"), common, matrix, names, problems),
    ]
    if not wanted and not problems:
        problems.append(ConfigError(f"{path} describes no run.", 'Give it a "matrix".'))
    points = [] if problems else _points(path, axes, wanted, environ or {}, names, problems)
    if problems:
        raise ConfigError.collected(problems)
    return Sweep(path, name, tuple(points))


def _unknown(path: Path, data: Mapping[str, Any]) -> list[ConfigError]:
    known = set(configuration.to_mapping(RunConfig()))
    found = []
    for key in data:
        if key in KEYS:
            continue
        hint = 'It is a key of runs: put it under "common".' if key in known else ""
        message = f'{path}: unknown key "{key}".'
        found.append(ConfigError(message, hint or did_you_mean(str(key), KEYS)))
    return found


def _name(path: Path, given: Any, problems: list[ConfigError]) -> str:
    if isinstance(given, str) and _NAME.fullmatch(given):
        return given
    message = f"{path}: name must be of letters, digits, points and dashes, not {shown(given)}."
    problems.append(ConfigError(message, f"Example: name: {path.stem}"))
    return ""


@dataclass(frozen=True)
class _Wanted:
    """A run as the file describes it: labels by axis, and the values that it sets."""

    labels: dict[str, str]
    values: Values
    slug: str


def _product(
    path: Path,
    excluded: Any,
    common: Values,
    axes: Sequence[Axis],
    names: Names,
    problems: list[ConfigError],
) -> Iterator[_Wanted]:
    """Yield the matrix without what is left out."""
    where = f"{path}: exclude"
    rules = excluder(excluded, axes, where, names, problems)
    used = [False] * len(rules)
    for choices in itertools.product(*(axis.choices for axis in axes)) if axes else ():
        labels = {a.name: c.label for a, c in zip(axes, choices, strict=True)}
        hits = [i for i, rule in enumerate(rules) if _matches(labels, rule)]
        for hit in hits:
            used[hit] = True
        if not hits:
            values = common | {k: v for choice in choices for k, v in choice.values.items()}
            yield _Wanted(labels, values, "_".join(map(_slug, labels, labels.values())))
    for number, was_used in enumerate(used, start=1):
        if not was_used and not problems:
            problems.append(ConfigError(f"{where} {number} leaves no run out.", "Delete it."))


def _matches(labels: Mapping[str, str], rule: Mapping[str, set[str]]) -> bool:
    return all(labels[name] in among for name, among in rule.items())


def _included(
    path: Path,
    data: Any,
    common: Values,
    axes: Sequence[Axis],
    names: Names,
    problems: list[ConfigError],
) -> Iterator[_Wanted]:
    where = f"{path}: include"
    groups = {c.label: c.values for axis in axes if axis.name == SET for c in axis.choices}
    for number, entry in enumerate(entries(data, where, problems), start=1):
        here = f"{where} {number}: "
        keys = {key: value for key, value in entry.items() if key not in ("name", SET)}
        values = checked(keys, here, names, problems)
        labels = {key: label_of(value) for key, value in values.items()}
        if SET in entry:
            group = str(entry[SET])
            if group not in groups:
                message = f'{here}{SET} "{group}" is no group of the matrix.'
                problems.append(ConfigError(message, did_you_mean(group, groups)))
            values, labels = {**groups.get(group, {}), **values}, {SET: group, **labels}
        slug = "_".join(map(_slug, labels, labels.values()))
        if "name" in entry:
            slug = _name(Path(f"{where} {number}"), entry["name"], problems)
        yield _Wanted(labels, common | values, slug)


def _points(
    path: Path,
    axes: Sequence[str],
    wanted: Sequence[_Wanted],
    environ: Mapping[str, str],
    names: Names,
    problems: list[ConfigError],
) -> list[Point]:
    """Resolve every run, refuse what is wrong together, and two runs that are the same."""
    said: dict[tuple[str, str], list[str]] = {}
    found: dict[str, Point] = {}
    check_files = _file_check()
    for one in wanted:
        wrong = check_files(one.values)
        try:
            config = configuration.resolve(None, environ, one.values, names=names)
        except ConfigError as error:
            wrong += error.problems
        for problem in wrong:
            said.setdefault((problem.message, problem.hint), []).append(one.slug)
        if wrong:
            continue
        digest = _digest(config)
        if digest in found:
            before, after = (_shown(labels) for labels in (found[digest].labels, one.labels))
            message = f"{path}: {before} and {after} are the same run."
            problems.append(ConfigError(message, "Leave one out."))
        labels = {axis: label_of(value_at(config, axis)) for axis in axes if axis != SET}
        name = f"{one.slug[:_LONGEST]}-{digest}"
        found[digest] = Point(name, labels | one.labels, config)
    for (message, hint), slugs in said.items():
        more = f" and {len(slugs) - 1} more" if len(slugs) > 1 else ""
        problems.append(ConfigError(f"{path}: {slugs[0]}{more}: {message}", hint))
    return list(found.values())


def value_at(config: RunConfig, path: str) -> Any:
    """Return the value of a dotted key; ``None`` for a method without a learning rate."""
    value: Any = config
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else getattr(value, name)
    return value


def _shown(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in labels.items())


def _file_check() -> Callable[[Values], list[ConfigError]]:
    """Return a check of the files that a run names, each file once."""
    seen: dict[tuple[str, str], ConfigError | None] = {}

    def once(kind: str, value: str) -> ConfigError | None:
        if (kind, value) not in seen:
            seen[kind, value] = _file_problem(kind, value)
        return seen[kind, value]

    def check(values: Values) -> list[ConfigError]:
        given = [(kind, values[kind]) for kind in ("task", "space", "data") if values.get(kind)]
        return [problem for kind, value in given if (problem := once(kind, value))]

    return check


def _file_problem(kind: str, value: str) -> ConfigError | None:
    try:
        if kind == "task" and not tasks.is_by_name(value):  # else only its rows can tell
            tasks.get(value)
        if kind == "space":
            place = space_path(value)
            parse_space(read_yaml(place), method_facts(), place.name)
        if kind == "data" and not Path(value).is_dir():
            return ConfigError(f"data: {value} is no folder.", "Give one with a train file.")
    except ConfigError as error:
        return error
    return None


def _slug(key: str, label: str) -> str:
    """Return a value as a part of a name: ``t5-small``, ``1pct``, ``seed-3``, ``steps-100``."""
    text = label.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    text = re.sub(r"\.ya?ml$", "", text).replace("%", "pct")
    safe = re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip("-.")[:40] or "x"
    is_number = re.fullmatch(r"[0-9.e+-]+", safe) is not None
    return f"{key.rpartition('.')[2]}-{safe}" if is_number else safe


def _digest(config: RunConfig) -> str:
    """Return eight letters that stand for everything that differs from the built-in values.

    What is left at its built-in value does not count, so that a key that a later version adds
    changes no name; neither does what a resumed run may change.
    """
    mine = configuration.to_mapping(config)
    kept = _differences(mine, _built_in())
    for key in FREE_ON_RESUME:
        kept.pop(key, None)
    text = json.dumps(kept, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@lru_cache
def _built_in() -> Mapping[str, Any]:
    return configuration.to_mapping(RunConfig())


def _differences(mine: Mapping[str, Any], built_in: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in mine.items():
        if isinstance(value, Mapping):
            inner = _differences(value, built_in.get(key, {}))
            found |= {key: inner} if inner else {}
        elif key not in built_in or value != built_in[key]:
            found[key] = value
    return found
