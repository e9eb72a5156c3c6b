"""A nested mapping, as read from YAML, into checked values and into a :class:`RunConfig`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from peftsearch.config.names import UNCHECKED, Names, known_names
from peftsearch.config.schema import Leaf, RunConfig, children, tree
from peftsearch.config.values import check, shown
from peftsearch.errors import ConfigError
from peftsearch.nearest import did_you_mean


@dataclass(frozen=True)
class Entry:
    """One key with a value as somebody wrote it.

    Attributes:
        path: Dotted name.
        value: What was written.
        where: Where, e.g. ``"run.yaml: "``; put before messages.
    """

    path: str
    value: Any
    where: str


def read_yaml(path: Path) -> Any:
    """Read one YAML file.

    Raises:
        ConfigError: Absent, not readable, or not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} is not valid YAML: {reason}.") from error


def find_leaf(path: str) -> tuple[Leaf | None, ConfigError | None]:
    """Return the key of a dotted path, or what is wrong with the path."""
    sections, leaves = tree()
    if path in leaves:
        return leaves[path], None
    section = ""
    names = path.split(".")
    for index, name in enumerate(names):
        here = f"{section}.{name}".lstrip(".")
        leaf = leaves.get(here)
        if leaf is not None:
            return _inside_leaf(leaf, path, names[index + 1 :])
        if here not in sections:
            prefix = f"{section}." if section else ""
            guess = did_you_mean(name, children(section)).replace('"', f'"{prefix}', 1)
            return None, ConfigError(f'unknown key "{here}".', guess)
        section = here
    inside = ", ".join(children(section))
    return None, ConfigError(f"{path} is a section, not a value.", f"Its keys: {inside}.")


def _inside_leaf(leaf: Leaf, path: str, rest: list[str]) -> tuple[Leaf | None, ConfigError | None]:
    if leaf.kind == "dict" and len(rest) == 1:
        return Leaf(path, "float", False, None, {"low": 0, "above": True}), None
    return None, ConfigError(f'unknown key "{path}": {leaf.path} has no keys of its own here.')


def flatten(data: Mapping[Any, Any], where: str, section: str = "") -> Iterator[Entry]:
    """Yield every key of a nested mapping; sections and mappings of numbers are opened."""
    sections, leaves = tree()
    for key, value in data.items():
        path = f"{section}.{key}".lstrip(".")
        opened = path in sections or path in leaves
        if isinstance(value, Mapping) and opened:
            yield from flatten(value, where, path)
        elif path in sections and value is None:
            continue  # An empty section in YAML.
        else:
            yield Entry(path, value, where)


def check_entries(entries: list[Entry], names: Names) -> tuple[dict[str, Any], list[ConfigError]]:
    """Check every entry; later ones win.

    Returns:
        The values by dotted path, and the problems found.
    """
    values: dict[str, Any] = {}
    problems: list[ConfigError] = []
    for entry in entries:
        leaf, problem = find_leaf(entry.path)
        if leaf is None:
            assert problem is not None
            problems.append(ConfigError(f"{entry.where}{problem.message}", problem.hint))
            continue
        try:
            _require_method(entry, names)
            if leaf.kind == "dict":
                _require_mapping(entry)
                continue
            values[entry.path] = check(leaf, entry.value, entry.where, names)
        except ConfigError as error:
            problems.append(error)
    return values, problems


def _require_method(entry: Entry, names: Names) -> None:
    section, _, method = entry.path.partition(".")
    if section != "learning_rates" or not method or names.methods is None:
        return
    if method not in names.methods:
        hint = f"{did_you_mean(method, names.methods)} List: peftsearch list methods"
        raise ConfigError(f'{entry.where}unknown key "{entry.path}": no such method.', hint)


def _require_mapping(entry: Entry) -> None:
    if entry.value not in (None, {}):
        message = f"{entry.where}{entry.path} must be a mapping, not {shown(entry.value)}."
        raise ConfigError(message, "Example: learning_rates: {lora: 0.001}")


def check_together(values: Mapping[str, Any]) -> list[ConfigError]:
    """Check what involves several keys; absent ones have their built-in value."""
    leaves = tree()[1]

    def value(path: str) -> Any:
        return values.get(path, leaves[path].default)

    problems = []
    start, end, parts = map(
        value, ("search.temperature_start", "search.temperature_end", "accumulation")
    )
    if end > start:
        message = f"search.temperature_end ({end}) is above temperature_start ({start})."
        problems.append(ConfigError(message))
    if value("search.seeds") > 1 and value("strategy") != "priced":
        message = (
            f"search.seeds is {value('search.seeds')}, and {value('strategy')} searches once: only "
            f"the strategy priced reads several searches together."
        )
        problems.append(ConfigError(message, "Leave search.seeds at 1, or take --strategy priced."))
    if value("search.warm_start") is not None and value("strategy") != "priced":
        message = f"search.warm_start is for the strategy priced, not for {value('strategy')}."
        problems.append(ConfigError(message, "Leave it out, or take --strategy priced."))
    if value("architecture") is not None and value("strategy") != "priced":
        message = f"architecture is given, so {value('strategy')} has nothing to search for."
        problems.append(ConfigError(message, "Leave out the strategy, or the architecture."))
    if value("freeze.choices") is None and value("freeze.sites"):
        message = "freeze.sites says where to keep choices, and freeze.choices names no file."
        problems.append(ConfigError(message, "Add --freeze-choices FILE, or leave it out."))
    if value("freeze.choices") is not None and value("architecture") is not None:
        message = "architecture decides every site, so freeze.choices has nothing to keep."
        problems.append(ConfigError(message, "Leave out one of them."))
    if value("limits.mergeable_only") and value("limits.latency") is not None:
        message = "limits.mergeable_only leaves nothing that takes time once it is merged."
        problems.append(ConfigError(message, "Leave out limits.latency, or limits.mergeable_only."))
    if value("load_in") is not None and value("shard"):
        message = f"load_in {value('load_in')} and shard cannot go together: bytes are not cut."
        problems.append(ConfigError(message, "Leave out one of them."))
    first, last = value("race.first_rung"), value("race.last_rung")
    if first > last:
        message = f"race.first_rung ({first:g}) is above last_rung ({last:g})."
        problems.append(ConfigError(message))
    for path in ("search.batch_size", "retrain.batch_size"):
        if parts > value(path):
            message = f"accumulation ({parts}) is above {path} ({value(path)}): a part has no row."
            problems.append(ConfigError(message))
    return problems


def build(values: Mapping[str, Any]) -> RunConfig:
    """Make a configuration of checked values; absent keys take the built-in value."""
    return RunConfig(**_arguments(RunConfig, "", values))


def _arguments(cls: type, section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    sections, leaves = tree()
    arguments: dict[str, Any] = {}
    for item in fields(cls):
        path = f"{section}.{item.name}".lstrip(".")
        if path in sections:
            arguments[item.name] = sections[path](**_arguments(sections[path], path, values))
        elif leaves[path].kind == "dict":
            start = f"{path}."
            inside = {k[len(start) :]: v for k, v in values.items() if k.startswith(start)}
            arguments[item.name] = inside
        elif path in values:
            arguments[item.name] = values[path]
    return arguments


def check_mapping(data: Any, where: str, names: Names | None = None) -> list[ConfigError]:
    """Return every problem of a configuration read from YAML."""
    if data is not None and not isinstance(data, Mapping):
        return [ConfigError(f"{where}: a configuration is a mapping of keys to values.")]
    values, problems = check_entries(
        list(flatten(data or {}, f"{where}: ")), names or known_names()
    )
    return problems + check_together(values)


def from_mapping(data: Any, where: str = "config.yaml", names: Names | None = None) -> RunConfig:
    """Read a configuration written by :func:`to_mapping`.

    Raises:
        ConfigError: Every problem found.
    """
    names = names or known_names()
    problems = check_mapping(data, where, names)
    if problems:
        raise ConfigError.collected(problems)
    values, _ = check_entries(list(flatten(data or {}, f"{where}: ")), names)
    return build(values)


def to_mapping(config: RunConfig) -> dict[str, Any]:
    """Return every value as a nested mapping of plain YAML types."""
    assert is_dataclass(config)
    data = asdict(config)
    data["export"]["targets"] = list(config.export.targets)
    return data


def dump(config: RunConfig) -> str:
    """Return the text of ``config.yaml``."""
    return yaml.safe_dump(to_mapping(config), sort_keys=False, allow_unicode=True)


def load(path: Path, names: Names = UNCHECKED) -> RunConfig:
    """Read ``config.yaml`` of a run.

    Args:
        path: The file.
        names: Registered names; by default names are taken as they are.

    Raises:
        ConfigError: Absent, or not a configuration.
    """
    return from_mapping(read_yaml(path), str(path), names)
