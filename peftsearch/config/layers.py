"""The layers of a configuration and their order.

Built-in < preset < ``--config`` < ``PEFTSEARCH_*`` < flags < ``--set``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from peftsearch.architecture import Architecture
from peftsearch.config.names import Names, known_names
from peftsearch.config.reading import (
    Entry,
    build,
    check_entries,
    check_together,
    find_leaf,
    flatten,
    read_yaml,
)
from peftsearch.config.schema import PRESETS, RunConfig, tree
from peftsearch.config.values import from_text, shown
from peftsearch.errors import ConfigError
from peftsearch.nearest import did_you_mean

PREFIX = "PEFTSEARCH_"
#: Variables with the prefix that are not configuration keys.
OTHER_VARIABLES = (
    "PEFTSEARCH_ADAPTERS_PYTHON",
    "PEFTSEARCH_AXE",
    "PEFTSEARCH_DEBUG",
    "PEFTSEARCH_HUB_TIMEOUT",
    "PEFTSEARCH_SHARED",
    "PEFTSEARCH_STORAGE",
)
#: Keys that do not change what a run computes, so a resumed run may be given other values.
FREE_ON_RESUME = (
    "device",
    "devices",
    "shard",
    "gradient_checkpointing",
    "max_seconds",
    "grace_seconds",
    "track",
    "out",
)


def variable(path: str) -> str:
    """Return the environment variable of a key: ``search.steps`` is PEFTSEARCH_SEARCH_STEPS."""
    return PREFIX + path.replace(".", "_").upper()


def resolve(
    config_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    names: Names | None = None,
) -> RunConfig:
    """Merge all layers into one configuration.

    Args:
        config_file: The file of ``--config``.
        environ: Environment variables; those that do not begin with PEFTSEARCH_ are ignored.
        flags: Values by key, dotted (``search.steps``) or nested; ``None`` means not given.
        overrides: ``key=value`` texts of ``--set``, in order.
        names: Registered names; read from the registries when absent.

    Raises:
        ConfigError: Every problem of every layer, together.
    """
    names = names or known_names()
    given, problems = _given(config_file, environ or {}, flags or {}, overrides)
    values, wrong = check_entries(given, names)
    problems += wrong
    preset = values.get("preset", tree()[1]["preset"].default)
    base, preset_problems = check_entries(_preset(preset), names)
    carried, no_file = _of_architecture(values.get("architecture"))
    merged = {**base, **carried, **values}
    problems += no_file
    problems += preset_problems + check_together(merged)
    if problems:
        raise ConfigError.collected(problems)
    return build(merged)


def _of_architecture(path: str | None) -> tuple[dict[str, Any], list[ConfigError]]:
    """Return what an architecture was found on: model, task and budget."""
    if path is None:
        return {}, []
    try:
        found = Architecture.load(path)
    except ConfigError as error:
        return {}, [error]
    return {"model": found.model, "task": found.task, "budget": found.requested}, []


def resume(
    stored: RunConfig,
    config_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    names: Names | None = None,
) -> RunConfig:
    """Return the configuration with which a stored run goes on.

    What is given must agree with what is stored; only :data:`FREE_ON_RESUME` may differ.

    Raises:
        ConfigError: A problem in a layer, or a value that differs, naming both values.
    """
    names = names or known_names()
    given, problems = _given(config_file, environ or {}, flags or {}, overrides)
    values, wrong = check_entries(given, names)
    if problems + wrong:
        raise ConfigError.collected(problems + wrong)
    held = _flat(stored)
    changed = {path: value for path, value in values.items() if held.get(path) != value}
    refused = [
        f"  {path}: the run has {shown(held.get(path))}, asked for is {shown(value)}"
        for path, value in changed.items()
        if path not in FREE_ON_RESUME
    ]
    if refused:
        raise _refusal(refused)
    free = {key: values[key] for key in FREE_ON_RESUME if key in values and key != "out"}
    return replace(stored, **free)


def _refusal(lines: Sequence[str]) -> ConfigError:
    message = "A resumed run keeps its configuration; these differ:\n" + "\n".join(lines)
    return ConfigError(message, "Leave them out to resume, or start another run with --out DIR.")


def _flat(config: RunConfig) -> dict[str, Any]:
    """Return every value by dotted path."""
    flat: dict[str, Any] = {}
    for path, leaf in tree()[1].items():
        value: Any = config
        for name in path.split("."):
            value = getattr(value, name)
        if leaf.kind == "dict":
            flat.update({f"{path}.{key}": inner for key, inner in value.items()})
        else:
            flat[path] = value
    return flat


def _given(
    config_file: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, Any],
    overrides: Iterable[str],
) -> tuple[list[Entry], list[ConfigError]]:
    """Return what the user gave, lowest layer first, and the problems met on the way."""
    problems: list[ConfigError] = []
    entries = _file(config_file, problems) if config_file else []
    entries += _environment(environ, problems)
    entries += list(flatten({k: v for k, v in flags.items() if v is not None}, ""))
    entries += _overrides(overrides, problems)
    return entries, problems


@lru_cache  # a sweep resolves it for every run
def _preset(name: str) -> list[Entry]:
    if name not in PRESETS:
        return []  # Its own check has already refused the name.
    text = (resources.files("peftsearch") / "presets" / f"{name}.yaml").read_text("utf-8")
    return list(flatten(yaml.safe_load(text), f"preset {name}: "))


def _file(path: Path, problems: list[ConfigError]) -> list[Entry]:
    try:
        data = read_yaml(path)
    except ConfigError as error:
        problems.append(error)
        return []
    if data is not None and not isinstance(data, Mapping):
        problems.append(ConfigError(f"{path}: a configuration is a mapping of keys to values."))
        return []
    return list(flatten(data or {}, f"{path}: "))


def _environment(environ: Mapping[str, str], problems: list[ConfigError]) -> list[Entry]:
    leaves = tree()[1]
    known = {variable(path): path for path in leaves}
    entries: list[Entry] = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in OTHER_VARIABLES:
            continue
        if name not in known:
            message = f"environment variable {name} is not known."
            problems.append(ConfigError(message, did_you_mean(name, known)))
            continue
        path = known[name]
        value = from_text(environ[name], leaves[path].kind)
        entries += flatten({path: value}, f"{name}: ")
    return entries


def _overrides(overrides: Iterable[str], problems: list[ConfigError]) -> list[Entry]:
    entries: list[Entry] = []
    for text in overrides:
        path, equals, value = text.partition("=")
        if not equals or not path.strip():
            message = f'--set "{text}" is not of the form key=value.'
            problems.append(ConfigError(message, "Example: --set search.steps=500"))
            continue
        leaf, _ = find_leaf(path.strip())
        kind = leaf.kind if leaf else "str"
        entries += flatten({path.strip(): from_text(value, kind)}, "--set: ")
    return entries
