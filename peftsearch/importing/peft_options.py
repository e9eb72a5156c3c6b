"""Options of PEFT's configs: which ones this package knows, and what may stand in them.

PEFT checks hardly any type: what is wrong in a config that somebody wrote by hand shows as an error
deep in its code. What can be said beforehand is said here, by the name of the option.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import peft

from peftsearch.errors import ConfigError
from peftsearch.export.base import Problem

#: Options that this package understands, by kind of adapter; any other must be at its default,
#: since it may change what is computed.
_COMMON = {
    "peft_type",
    "peft_version",
    "task_type",
    "auto_mapping",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "target_modules",
    "exclude_modules",
    "modules_to_save",
    "fan_in_fan_out",  # how GPT-2's maps store their weights, and not what they compute
    "layers_to_transform",
    "layers_pattern",
}
_UNDERSTOOD = {
    "LORA": {
        *("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "bias"),
        *("lora_dropout", "init_lora_weights"),
    },
    "IA3": {"feedforward_modules", "init_ia3_weights"},
    "LN_TUNING": set(),
    "BEFT": {"init_weights"},
}
#: Starts that leave the backbone's own weights alone.
_STARTS = (True, False, "gaussian", "orthogonal")


def _is(kinds: type | tuple[type, ...], value: Any) -> bool:
    """Return whether a value of JSON is of a kind; ``true`` is no number."""
    return isinstance(value, kinds) and not isinstance(value, bool)


def _is_expression(value: Any) -> bool:
    """Return whether a value is text that PEFT can match names with."""
    try:
        return isinstance(value, str) and bool(re.compile(value))
    except (re.error, OverflowError, RecursionError):  # of syntax, of a count, of brackets
        return False


def _some(right: Callable[[Any], bool], value: Any) -> bool:
    """Return whether a value is nothing, one of a kind, or a list of them."""
    several = isinstance(value, list) and all(map(right, value))
    return value is None or right(value) or several


def _by_name(right: Callable[[Any], bool], value: Any) -> bool:
    """Return whether a value maps names or expressions to values of a kind."""
    named = isinstance(value, dict) and all(map(_is_expression, value))
    return named and all(map(right, value.values()))


_WHOLE, _NUMBER = partial(_is, int), partial(_is, (int, float))
_NAMES = (partial(_some, _is_expression), "a name, an expression or a list of them")
#: What an option may hold, as a check and in words.
_TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "r": (_WHOLE, "a whole number"),
    "lora_alpha": (_NUMBER, "a number"),
    "lora_dropout": (_NUMBER, "a number"),
    "rank_pattern": (partial(_by_name, _WHOLE), "names or expressions with a whole number each"),
    "alpha_pattern": (partial(_by_name, _NUMBER), "names or expressions with a number each"),
    "bias": (partial(_is, str), "text"),
    "layers_to_transform": (partial(_some, _WHOLE), "a whole number or a list of them"),
    "layers_pattern": _NAMES,
    "target_modules": _NAMES,
    "exclude_modules": _NAMES,
    "modules_to_save": _NAMES,
    "feedforward_modules": _NAMES,
}


def unknown_options(given: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the kinds and options that this package does not know."""
    kind = str(given.get("peft_type"))
    if kind not in _UNDERSTOOD:
        known = ", ".join(_UNDERSTOOD)
        yield Problem("all sites", kind, f"peftsearch has no such method, of PEFT's only {known}")
        return
    cls: Any = peft.PEFT_TYPE_TO_CONFIG_MAPPING[peft.PeftType(kind)]
    plain = json.loads(json.dumps(cls().to_dict(), default=lambda x: x.__dict__))
    for name in sorted(set(given) - _COMMON - _UNDERSTOOD[kind]):
        value = given[name]
        if value != plain[name] if name in plain else value not in (None, False, [], {}):
            reason = f"{name} is {json.dumps(value)}, which peftsearch does not know"
            yield Problem("all sites", kind, reason)
    start = given.get("init_lora_weights", True)
    if start not in _STARTS:
        yield Problem("all sites", kind, f"its start {start} changes the backbone itself")


def check_types(path: Path, given: Mapping[str, Any]) -> None:
    """Refuse what PEFT would take as it is and stumble over later.

    Raises:
        ConfigError: Values of the wrong type, all of them in one sentence.
    """
    wrong = [
        f"{name} is {json.dumps(given[name])}, not {noun}"
        for name, (right, noun) in _TYPES.items()
        if name in given and not right(given[name])
    ]
    if wrong:
        raise ConfigError(f"PEFT does not take {path}: {'; '.join(wrong)}.")
