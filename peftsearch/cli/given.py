"""The options that ``run`` and ``plan`` share, gathered into one object."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peftsearch import config as configuration
from peftsearch.cli import options as o
from peftsearch.config import RunConfig
from peftsearch.errors import ConfigError
from peftsearch.rundir import RunDir

#: Options that are keys of the configuration, in the order of the help.
_KEYS: dict[str, Any] = {
    "model": o.Model,
    "backbone": o.Backbone,
    "task": o.Task,
    "format": o.Format,
    "data": o.Data,
    "dataset.text_columns": o.TextColumns,
    "dataset.label_column": o.LabelColumn,
    "dataset.kind": o.TaskKind,
    "space": o.Space,
    "exportable_to": o.ExportableTo,
    "budget": o.Budget,
    "limits.bytes": o.MaxBytes,
    "limits.modules_per_layer": o.MaxModulesPerLayer,
    "limits.train_flops": o.MaxTrainFlops,
    "limits.latency": o.MaxLatency,
    "limits.mergeable_only": o.MergeableOnly,
    "preset": o.Preset,
    "strategy": o.Strategy,
    "architecture": o.ArchitectureFile,
    "search.warm_start": o.WarmStart,
    "freeze.choices": o.FreezeChoices,
    "freeze.sites": o.FreezeSites,
    "seed": o.Seed,
    "seeds": o.Seeds,
    "train_rows": o.TrainRows,
    "test_rows": o.TestRows,
    "out": o.Out,
    "precision": o.Precision,
    "load_in": o.LoadIn,
    "gradient_checkpointing": o.GradientCheckpointing,
    "group_by_length": o.GroupByLength,
    "device": o.Device,
    "devices": o.Devices,
    "max_seconds": o.MaxSeconds,
    "grace_seconds": o.GraceSeconds,
    "track": o.Track,
}
_OTHERS: dict[str, tuple[Any, Any]] = {
    "config": (o.ConfigFile, None),
    "override": (o.Override, None),
    "resume": (o.Resume, None),
    "as_json": (o.Json, False),
    "quiet": (o.Quiet, False),
    "debug": (o.Debug, False),
}


@dataclass(frozen=True)
class Given:
    """What was typed.

    Attributes:
        flags: Configuration keys given as options.
        config: File of ``--config``.
        override: Texts of ``--set``.
        resume: Directory of ``--resume``.
        as_json: Whether to print JSON.
        quiet: Whether to print next to nothing.
        debug: Whether to print tracebacks.
    """

    flags: dict[str, Any]
    config: Path | None
    override: list[str] | None
    resume: Path | None
    as_json: bool
    quiet: bool
    debug: bool

    def resolve(self, environ: Mapping[str, str]) -> RunConfig:
        """Merge the layers; a resumed run keeps its own, and what is given must agree with it.

        Raises:
            ConfigError: Every problem found.
        """
        overrides = self.override or []
        if self.resume is None:
            return configuration.resolve(self.config, environ, self.flags, overrides)
        if "out" in self.flags:
            message = "--resume and --out cannot be given together: a run stays in its directory."
            raise ConfigError(message, "Leave out one of them.")
        stored = RunDir.open_existing(self.resume, lock=False).config()
        return configuration.resume(stored, self.config, environ, self.flags, overrides)


def with_options(
    body: Callable[..., None],
    *first: tuple[str, Any],
    more: Mapping[str, tuple[Any, Any]] | None = None,
) -> Callable[..., None]:
    """Return a command with all shared options; they are written down once, for every command.

    Args:
        body: Called with what was typed, and with the arguments by name.
        first: Names and kinds of the arguments that come before the options.
        more: Options of this command alone: names with kind and default. One that is a key of
            the configuration is among what was typed, as for every command.
    """
    own = {name: each for name, each in (more or {}).items() if name not in _KEYS}

    def command(**values: Any) -> None:
        arguments = {name: values.pop(name) for name in (*dict(first), *own)}
        typed = {key: values.pop(_name(key)) for key in _KEYS}
        flags = {
            key: str(value) if isinstance(value, Path) else value
            for key, value in typed.items()
            if value is not None
        }
        body(Given(flags=flags, **values), **arguments)

    kinds = {
        **dict(first),
        **{_name(key): kind for key, kind in _KEYS.items()},
        **{name: kind for name, (kind, _) in {**own, **_OTHERS}.items()},
    }
    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=own[name][1] if name in own else _default(name, first),
            annotation=kind,
        )
        for name, kind in kinds.items()
    ]
    command.__name__, command.__doc__ = body.__name__, body.__doc__
    command.__annotations__ = {**kinds, "return": None}
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


def _default(name: str, first: tuple[tuple[str, Any], ...]) -> Any:
    if name in dict(first):
        return inspect.Parameter.empty
    return _OTHERS[name][1] if name in _OTHERS else None


def _name(key: str) -> str:
    """Return the name of a key as an argument in Python."""
    return key.replace(".", "_")
