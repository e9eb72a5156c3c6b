"""``peftsearch.run``: the command as a function."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftsearch import config as configuration
from peftsearch import front, pipeline, ranks
from peftsearch.config import RunConfig
from peftsearch.errors import ConfigError
from peftsearch.frames import OWN_ROWS, OWN_TASK, Brought, brought
from peftsearch.pipeline import Summary
from peftsearch.rundir import RunDir, claim
from peftsearch.tasks import Task

if TYPE_CHECKING:
    import pandas


def run(
    model: str | None = None,
    task: str | Task | None = None,
    budget: str | None = None,
    *,
    data: str | Path | Mapping[str, pandas.DataFrame] | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    config: str | Path | None = None,
    **options: Any,
) -> Summary:
    """Do what ``peftsearch run`` does, with the same options.

    Args:
        model: Built-in model, Hub id, or folder; ``micro-t5`` by default.
        task: Name of a task, a task YAML, a :class:`peftsearch.Task`, a data set of the Hub as
            ``hf:owner/name[:config]``, or a kind such as ``classification`` with ``data``;
            ``micro-nli`` by default.
        budget: E.g. ``"1%"`` (the default), ``"0.0139%"``, ``"100k"``.
        data: Folder with the rows, or a pandas frame each for ``train``, ``validation`` and
            perhaps ``test``; frames are kept in the run directory, to be resumed without them.
        out: A new or empty directory; by default a dated one under ``runs/``.
        resume: Directory of a run to go on with; settings that differ from its own are refused.
        config: A YAML file with settings.
        options: Further settings by name, e.g. ``seeds=5``, ``search={"steps": 500}``.

    Returns:
        The run directory and the content of ``summary.json``.

    Raises:
        PeftSearchError: See :mod:`peftsearch.errors`.
    """
    own = brought(task, data)
    given = {
        "model": model,
        "task": task.name if isinstance(task, Task) and own.task is None else task,
        "budget": budget,
        "data": None if own.frames or data is None else str(data),
        **options,
    }
    flags = {name: value for name, value in given.items() if value is not None}
    file = Path(config) if config else None
    if own.task is not None or own.frames:
        if resume:
            raise ConfigError(
                "A resumed run has its task and its rows already.", "Leave out task and data."
            )
        return _run_with(own, file, flags, Path(out) if out else None)
    if resume:
        stored = RunDir.open_existing(Path(resume), lock=False).config()
        settings = configuration.resume(stored, file, os.environ, flags)
    else:
        settings = configuration.resolve(file, os.environ, flags)
    settings = _on_devices(settings, options.get("devices"))
    return front.run(
        settings,
        out=Path(out) if out else None,
        resume=Path(resume) if resume else None,
        command=["peftsearch.run"],
    )


def _on_devices(settings: RunConfig, wanted: int | None) -> RunConfig:
    """Go on as many devices as a launcher has started this program on.

    Raises:
        ConfigError: Others were asked for: a function cannot start the program that calls it.
    """
    ranks.join()
    if wanted not in (None, ranks.size()):
        message = f"devices is {wanted}, and this program runs in {ranks.size()} processes."
        hint = f"accelerate launch --num_processes {wanted} YOUR_PROGRAM.py, or --devices."
        raise ConfigError(message, hint)
    return replace(settings, devices=ranks.size())


def _run_with(
    own: Brought, file: Path | None, flags: Mapping[str, Any], out: Path | None
) -> Summary:
    """Run with objects, which the run directory keeps."""
    named = {} if own.task is None else {"task": f"{own.task.name}.yaml"}
    settings = configuration.resolve(file, os.environ, {**flags, **named})
    settings = _on_devices(settings, flags.get("devices"))
    place = ranks.told(ranks.led(lambda: claim(settings, out)) or Path())
    if own.task is not None:
        settings = replace(settings, task=str(place / OWN_TASK))
    if own.frames:
        settings = replace(settings, data=str(place / OWN_ROWS))
    return pipeline.run(settings, out=place, command=["peftsearch.run"], bring=own.write)
