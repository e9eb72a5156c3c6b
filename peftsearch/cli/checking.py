"""What ``validate`` checks: which kind a file is, and every problem in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peftsearch import config as configuration
from peftsearch.architecture import Architecture
from peftsearch.backbones.description import parse_description
from peftsearch.catalogue import method_facts
from peftsearch.errors import ConfigError
from peftsearch.rundir import read_json
from peftsearch.site import split_id
from peftsearch.space_spec import parse_space

#: Keys by which a kind is recognised; the kind with most of them wins, on a
#: tie the configuration.
_SIGNS = {
    "architecture": {"choices", "backbone_parameters", "num_params", "format", "budget"},
    "backbone description": {"stacks", "model_type"},
    "search space": {"sites", "combine", "name", "description"},
    "task": {
        "columns",
        "labels",
        "label_words",
        "label_column",
        "template",
        "metrics",
        "kind",
        "name",
        "description",
        "source",
        "max_length",
        "max_target_length",
        "target_tokenizer",
        "format",
    },
}


@dataclass(frozen=True)
class Checked:
    """One file after checking.

    Attributes:
        path: The file.
        kind: ``configuration``, ``search space``, ``task``, ``architecture`` or ``backbone
            description``; empty if unknown.
        problems: What is wrong with it; each may bring a hint.
    """

    path: Path
    kind: str
    problems: tuple[ConfigError, ...]


def kind_of(data: Any) -> str:
    """Return the kind of a file by its keys, or an empty text."""
    if not isinstance(data, Mapping):
        return ""
    keys = set(map(str, data))
    settings = set(configuration.to_mapping(configuration.RunConfig()))
    signs = {"configuration": settings, **_SIGNS}
    scores = {kind: len(keys & known) for kind, known in signs.items()}
    best = max(scores, key=lambda kind: scores[kind])
    return best if scores[best] else ""


def validate(path: Path) -> Checked:
    """Check one file of any kind."""
    try:
        data = read_json(path) if path.suffix == ".json" else configuration.read_yaml(path)
    except ConfigError as error:
        return Checked(path, "", (error,))
    kind = kind_of(data)
    if not kind:
        keys = "choices, sites, columns, stacks, or keys of config.yaml"
        unknown = ConfigError(f"{path} is of no kind that is known.", f"Expected: {keys}.")
        return Checked(path, "", (unknown,))
    if kind == "configuration":
        return Checked(path, kind, tuple(configuration.check_mapping(data, str(path))))
    try:
        _check(kind, path, data)
    except ConfigError as error:
        return Checked(path, kind, error.problems)
    return Checked(path, kind, ())


def _check(kind: str, path: Path, data: Any) -> None:
    if kind == "architecture":
        check_architecture(data, str(path))
    elif kind == "search space":
        parse_space(data, method_facts(), str(path))
    elif kind == "backbone description":
        parse_description(data, str(path))
    else:
        from peftsearch.tasks import read_task

        read_task(path)


def check_architecture(data: Any, where: str) -> Architecture:
    """Check an architecture beyond what reading it does.

    Raises:
        ConfigError: What reading refuses; a method that is not registered; a module named twice
            with one method; more parameters than the limit.
    """
    architecture = Architecture.from_json(data, where)
    problems: list[ConfigError] = []
    known = {"none", *method_facts()}
    seen: set[tuple[str, str, str]] = set()
    for choice in architecture.choices:
        split_id(choice.site)
        if choice.method not in known:
            message = f'{where}: {choice.site}: method "{choice.method}" is not known.'
            problems.append(ConfigError(message, "List: peftsearch list methods"))
        keys = {(choice.site, choice.method, name) for name in choice.modules or ("",)}
        if keys & seen:
            problems.append(ConfigError(f"{where}: {choice.site} has {choice.method} twice."))
        seen |= keys
    used, limit = architecture.num_params, architecture.limit
    if used > limit:
        problems.append(ConfigError(f"{where}: {used:,} parameters exceed the limit {limit:,}."))
    if problems:
        raise ConfigError.collected(problems)
    return architecture
