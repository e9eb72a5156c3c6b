"""Checks of single values: type, range, allowed names."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import yaml

from peftsearch import budget, limits
from peftsearch.config.names import Names
from peftsearch.config.schema import TRACKERS, Leaf
from peftsearch.errors import ConfigError
from peftsearch.nearest import did_you_mean

#: Limits that are written as text, and what reads each.
_LIMITS: dict[str, Callable[[str], object]] = {
    "limits.bytes": limits.parse_bytes,
    "limits.train_flops": limits.parse_flops,
    "limits.latency": limits.parse_latency,
}
_DEVICE = re.compile(r"^(auto|cpu|mps|cuda(:\d+)?)$")
_NOUN = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "list": "a list of names",
    "dict": "a mapping",
}


def shown(value: Any) -> str:
    """Return a value as a message shows it."""
    return f'"{value}"' if isinstance(value, str) else str(value)


def from_text(text: str, kind: str) -> Any:
    """Read the text after ``=`` in ``--set`` or of an environment variable.

    Text stays text for keys that hold text, so that a model called ``1e3`` or ``no`` is safe.
    """
    if text.strip().lower() in ("null", "none", "") and kind != "list":
        return None
    if kind == "str":
        return text
    if kind == "list" and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def check(leaf: Leaf, value: Any, where: str, names: Names) -> Any:
    """Return the value in the type of its key.

    Args:
        leaf: The key.
        value: What was written.
        where: Where it was written, e.g. ``--set``; put before the message.
        names: Registered names.

    Raises:
        ConfigError: Wrong type, out of range, or an unknown name.
    """
    if value is None and leaf.optional:
        return None
    typed = _typed(leaf, value, where)
    if leaf.kind in ("int", "float"):
        _check_range(leaf, typed, where)
    _check_known(leaf, typed, where, names)
    return typed


def _typed(leaf: Leaf, value: Any, where: str) -> Any:
    wrong = ConfigError(f"{where}{leaf.path} must be {_NOUN[leaf.kind]}, not {shown(value)}.")
    if leaf.kind == "float":
        return _float(value, wrong)
    if leaf.kind == "int":
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong
    elif leaf.kind == "bool":
        if not isinstance(value, bool):
            raise wrong
    elif leaf.kind == "list":
        entries = from_text(value, "list") if isinstance(value, str) else value
        if not isinstance(entries, (list, tuple)) or any(not isinstance(e, str) for e in entries):
            raise wrong
        return tuple(entries)
    elif (
        leaf.path in ("budget", *_LIMITS)
        and isinstance(value, (int, float))
        and not isinstance(value, bool)
    ):
        return str(value)  # YAML reads 100000 and 0.001 as numbers.
    elif not isinstance(value, str) or not value.strip():
        raise wrong
    return value


def _float(value: Any, wrong: ConfigError) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise wrong
    try:
        number = float(value)  # Text too: YAML 1.1 reads 1e-3 as text.
    except ValueError:
        raise wrong from None
    if not math.isfinite(number):
        raise wrong
    return number


def _check_range(leaf: Leaf, value: float, where: str) -> None:
    low, high = leaf.rules.get("low"), leaf.rules.get("high")
    above, below = leaf.rules.get("above"), leaf.rules.get("below")
    fits_low = low is None or (value > low if above else value >= low)
    fits_high = high is None or (value < high if below else value <= high)
    if fits_low and fits_high:
        return
    least = f"above {low}" if above else f"at least {low}"
    most = "" if high is None else f" and {'below' if below else 'at most'} {high}"
    raise ConfigError(f"{where}{leaf.path} must be {least}{most}, not {value}.")


def _check_known(leaf: Leaf, value: Any, where: str, names: Names) -> None:
    if leaf.path == "precision" and value == "fp16":
        message = f'{where}precision "fp16" is not supported: T5 overflows in it.'
        raise ConfigError(message, "Use --precision bf16: as fast, and with the range of fp32.")
    if leaf.path == "device" and not _DEVICE.match(value):
        message = f"{where}device {shown(value)} is not known."
        raise ConfigError(message, "Use auto, cpu, mps, cuda or cuda:N.")
    if leaf.path == "budget":
        _said_where(lambda: budget.several(value), where)
    if leaf.path in _LIMITS:
        _said_where(lambda: _LIMITS[leaf.path](value), where)
    if "choices" in leaf.rules:
        require_known(value, leaf.rules["choices"], f"{where}{leaf.path}")
    if leaf.path == "task" and not is_file_name(value) and not value.startswith("hf:"):
        require_known(value, names.tasks, f"{where}task", "tasks")
    if leaf.path == "space" and not is_file_name(value):
        require_known(value, names.spaces, f"{where}space", "spaces")
    if leaf.path == "strategy":
        require_known(value, names.strategies, f"{where}strategy", "strategies")
    if leaf.path == "track":
        for name in value:
            require_known(name, TRACKERS, f"{where}track")
    if leaf.path in ("export.targets", "exportable_to"):
        for target in value:
            require_known(target, names.exporters, f"{where}{leaf.path}", "exporters")


def _said_where(read: Callable[[], object], where: str) -> None:
    """Read a value, and say where it was written if it cannot be read."""
    try:
        read()
    except ConfigError as error:
        raise ConfigError(f"{where}{error.message}", error.hint) from None


def is_file_name(value: str) -> bool:
    """Whether a task or space is given as a YAML file and not by name."""
    return value.endswith((".yaml", ".yml"))


def require_known(value: str, known: Sequence[str] | None, what: str, noun: str = "") -> None:
    """Refuse a name that is not registered.

    Args:
        value: The name as typed.
        known: The registered names; ``None``: every name will do.
        what: Named before the value, e.g. ``task``.
        noun: What ``peftsearch list`` calls them; empty when there is no such list.

    Raises:
        ConfigError: The name is not registered.
    """
    if known is not None and value not in known:
        more = f" List: peftsearch list {noun}" if noun else ""
        raise ConfigError(f'{what} "{value}" is not known.', did_you_mean(value, known) + more)
