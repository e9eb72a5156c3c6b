"""``peftsearch.run``: the command as a function."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from peftsearch import config as configuration
from peftsearch import front, ranks
from peftsearch.config import RunConfig
from peftsearch.errors import ConfigError
from peftsearch.pipeline import Summary
from peftsearch.rundir import RunDir


def run(
    model: str | None = None,
    task: str | None = None,
    budget: str | None = None,
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    config: str | Path | None = None,
    **options: Any,
) -> Summary:
    """Do what ``peftsearch run`` does, with the same options.

    Args:
        model: Built-in model, Hub id, or folder; ``micro-t5`` by default.
        task: Name of a task, or a task YAML; ``micro-nli`` by default.
        budget: E.g. ``"1%"`` (the default), ``"0.0139%"``, ``"100k"``.
        out: A new or empty directory; by default a dated one under ``runs/``.
        resume: Directory of a run to go on with; settings that differ from its own are refused.
        config: A YAML file with settings.
        options: Further settings by name, e.g. ``seeds=5``, ``search={"steps": 500}``.

    Returns:
        The run directory and the content of ``summary.json``.

    Raises:
        PeftSearchError: See :mod:`peftsearch.errors`.
    """
    given = {"model": model, "task": task, "budget": budget, **options}
    flags = {name: value for name, value in given.items() if value is not None}
    file = Path(config) if config else None
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
