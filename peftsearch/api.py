"""``peftsearch.run``: the command as a function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peftsearch import config as configuration
from peftsearch.pipeline import Summary


def run(
    model: str = "micro-t5",
    task: str = "micro-nli",
    budget: str = "1%",
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    config: str | Path | None = None,
    **options: Any,
) -> Summary:
    """Do what ``peftsearch run`` does, with the same options.

    Args:
        model: Built-in model, Hub id, or folder.
        task: Name of a task, or a task YAML.
        budget: E.g. ``"1%"``, ``"0.0139%"``, ``"100k"``.
        out: A new or empty directory; by default a dated one under ``runs/``.
        resume: Directory of a run to go on with; every other argument is then ignored.
        config: A YAML file with settings.
        options: Further settings by name, e.g. ``seeds=5``, ``search={"steps": 500}``.

    Returns:
        The run directory and the content of ``summary.json``.

    Raises:
        PeftSearchError: See :mod:`peftsearch.errors`.
    """
    from peftsearch import pipeline

    flags = {"model": model, "task": task, "budget": budget, **options}
    settings = configuration.resolve(Path(config) if config else None, None, flags)
    return pipeline.run(
        settings,
        out=Path(out) if out else None,
        resume=Path(resume) if resume else None,
        command=["peftsearch.run"],
    )
