"""The axes of a matrix, and what of their product is left out; every value is checked here.

Place in the flow: the mapping of the file -> **axes** -> points.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peftsearch.config.names import Names
from peftsearch.config.reading import check_entries, find_leaf, flatten
from peftsearch.config.values import shown
from peftsearch.errors import ConfigError
from peftsearch.nearest import did_you_mean

#: The axis whose values are named groups of keys that change together.
SET = "set"
#: Keys that the sweep decides itself.
_OURS = {"out": "Every run has a folder of its own; choose the sweep's with --out DIR."}
Values = dict[str, Any]


@dataclass(frozen=True)
class Choice:
    """One value of an axis.

    Attributes:
        label: As it is shown, and as it stands in the name of a run.
        values: What it sets, by dotted key.
    """

    label: str
    values: Values


@dataclass(frozen=True)
class Axis:
    """One line of the matrix.

    Attributes:
        name: A dotted key of the configuration, or :data:`SET`.
        choices: What it goes through, in the order of the file.
    """

    name: str
    choices: tuple[Choice, ...]

    @property
    def keys(self) -> set[str]:
        """Every key that one of its choices sets."""
        return {key for choice in self.choices for key in choice.values}


def checked(data: Any, where: str, names: Names, problems: list[ConfigError]) -> Values:
    """Return a mapping of configuration keys with every value checked.

    Args:
        data: As read; sections may be nested or dotted.
        where: Put before messages.
        names: Registered names.
        problems: Takes what is wrong.
    """
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        message = f"{where}must be a mapping of keys as in config.yaml, not {shown(data)}."
        problems.append(ConfigError(message, "Example: {seed: 1, search: {steps: 100}}"))
        return {}
    values, wrong = check_entries(list(flatten(data, where)), names)
    problems += wrong
    problems += [
        ConfigError(f"{where}{key} is not for a sweep.", _OURS[key])
        for key in values
        if key in _OURS
    ]
    return values


def read_axes(data: Any, where: str, names: Names, problems: list[ConfigError]) -> list[Axis]:
    """Read the matrix.

    Args:
        data: As read: a list of values for each key, and :data:`SET`.
        where: Put before messages.
        names: Registered names.
        problems: Takes what is wrong.
    """
    if data is None:
        return []
    if not isinstance(data, Mapping):
        message = f"{where}must be a mapping of keys to lists of values, not {shown(data)}."
        problems.append(ConfigError(message, "Example: matrix: {budget: [1%, 2%], seed: [0, 1]}"))
        return []
    plain = {key: value for key, value in data.items() if key != SET}
    axes = []
    for entry in flatten(plain, where):
        axis = _key_axis(entry.path, entry.value, where, names, problems)
        axes += [axis] if axis else []
    if SET in data:
        axes += _set_axis(data[SET], f"{where}{SET}: ", names, problems)
    for one, other in itertools.combinations(axes, 2):
        for key in sorted(one.keys & other.keys):
            message = f"{where}{key} is set by {one.name} and by {other.name}."
            problems.append(ConfigError(message, "Leave it out of one of them."))
    return axes


def _key_axis(
    path: str, given: Any, where: str, names: Names, problems: list[ConfigError]
) -> Axis | None:
    leaf, wrong = find_leaf(path)
    if leaf is None:
        assert wrong is not None
        hint = f'{wrong.hint} Groups of keys stand under "{SET}".'
        problems.append(ConfigError(f"{where}{wrong.message}", hint))
        return None
    if not isinstance(given, list) or not given:
        message = f"{where}{path} must be a list of values, not {shown(given)}."
        problems.append(ConfigError(message, f"Example: {path}: [{_example(given)}]"))
        return None
    choices = []
    for value in given:
        values = checked({path: value}, where, names, problems)
        choices.append(Choice(label_of(values.get(path, value)), values))
    _refuse_twice(path, choices, where, problems)
    return Axis(path, tuple(choices))


def _set_axis(data: Any, where: str, names: Names, problems: list[ConfigError]) -> list[Axis]:
    if not isinstance(data, Mapping) or not data:
        message = f"{where}must be a mapping of names to groups of keys, not {shown(data)}."
        example = "set: {short: {search.steps: 100}, long: {search.steps: 400}}"
        problems.append(ConfigError(message, f"Example: {example}"))
        return []
    choices = [
        Choice(str(name), checked(group, f"{where}{name}: ", names, problems))
        for name, group in data.items()
    ]
    return [Axis(SET, tuple(choices))]


def _refuse_twice(
    path: str, choices: Sequence[Choice], where: str, problems: list[ConfigError]
) -> None:
    labels = [choice.label for choice in choices]
    for label in sorted({label for label in labels if labels.count(label) > 1}):
        problems.append(ConfigError(f"{where}{path} has {label} twice.", "Leave one out."))


def label_of(value: Any) -> str:
    """Return a checked value as it is shown."""
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _example(given: Any) -> str:
    return "..." if given in (None, [], {}) else str(given)


def excluder(
    data: Any, axes: Sequence[Axis], where: str, names: Names, problems: list[ConfigError]
) -> list[dict[str, set[str]]]:
    """Read what is left out: for each entry the labels of every axis that it names.

    Args:
        data: A list of mappings of an axis to a value, or to a list of values.
        axes: The matrix.
        where: Put before messages.
        names: Registered names.
        problems: Takes what is wrong.
    """
    by_name = {axis.name: axis for axis in axes}
    found = []
    for number, entry in enumerate(entries(data, where, problems), start=1):
        here = f"{where} {number}: "
        nested = {key: value for key, value in entry.items() if key != SET}
        flat = {each.path: each.value for each in flatten(nested, "")}
        flat |= {SET: entry[SET]} if SET in entry else {}
        rule: dict[str, set[str]] = {}
        for name, value in flat.items():
            if name not in by_name:
                message = f'{here}"{name}" is no line of the matrix.'
                problems.append(ConfigError(message, did_you_mean(str(name), by_name)))
                continue
            several = value if isinstance(value, list) else [value]
            rule[name] = {_known(by_name[name], one, here, names, problems) for one in several}
        found.append(rule)
    return found


def _known(axis: Axis, value: Any, where: str, names: Names, problems: list[ConfigError]) -> str:
    """Return the label of a value of an axis, and refuse one that the axis has not."""
    labels = [choice.label for choice in axis.choices]
    label, before = str(value), len(problems)
    if axis.name != SET and label not in labels:
        label = label_of(checked({axis.name: value}, where, names, problems).get(axis.name, value))
    if label not in labels and len(problems) == before:
        message = f"{where}{axis.name} is never {shown(value)} in the matrix."
        problems.append(ConfigError(message, did_you_mean(label, labels)))
    return label


def entries(data: Any, where: str, problems: list[ConfigError]) -> list[Mapping[str, Any]]:
    """Return a list of mappings as read, and refuse anything else."""
    if data is None:
        return []
    wrong = [data] if not isinstance(data, list) else [e for e in data if not _full(e)]
    for entry in wrong:
        message = f"{where} must be a list of mappings, not {shown(entry)}."
        problems.append(ConfigError(message, f"Example: {where.rsplit(': ')[-1]}: [{{seed: 1}}]"))
    return [] if wrong else data


def _full(entry: Any) -> bool:
    return isinstance(entry, Mapping) and bool(entry)
