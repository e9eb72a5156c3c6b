"""One search for several budgets: a run for each, all from the same supernet.

Place in the flow: above the pipeline. The run of the largest budget trains the supernet, on
architectures of every budget in turn: gates have preferences, and each budget its own price. The
other runs take its ``search/``, and measure, race, retrain and compare within their own budgets.

    DIR/config.yaml     the settings, with all budgets
    DIR/1pct/           a run directory like any other
    DIR/0.1pct/         ...
    DIR/summary.json    their answers side by side
    DIR/report/         the comparison
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from peftsearch import pipeline, ranks
from peftsearch.budget import several
from peftsearch.compare import compare
from peftsearch.config import RunConfig
from peftsearch.errors import ConfigError
from peftsearch.pipeline import Summary
from peftsearch.rundir import Listener, RunDir, write_json

#: What of a run's answer stands in ``summary.json`` of all.
_KEYS = ("headline", "budget", "found", "baselines", "cost", "alerts")


def run(
    config: RunConfig,
    *,
    out: Path | None = None,
    resume: Path | None = None,
    command: list[str] | None = None,
    listener: Listener | None = None,
) -> Summary:
    """Run the whole path, once for each budget of the configuration.

    Arguments and errors are those of :func:`peftsearch.pipeline.run`. Of one budget it returns
    what that returns; of several, the folder that holds their runs, and its ``summary.json``.
    """
    wanted = several(config.budget)
    go = partial(pipeline.run, command=command, listener=listener)
    if len(wanted) == 1:
        return go(config, out=out, resume=resume)
    _check(config)
    with RunDir.open_existing(resume) if resume else RunDir.create(config, out) as directory:
        done, began = [], time.monotonic()
        for one in configs(config, wanted, directory.path):
            folder = directory.path / name(one.budget)
            if listener is not None:
                listener({"stage": "run", "event": "budget", "text": f"budget {one.budget}"})
            if config.max_seconds is not None:  # of all runs together
                left = config.max_seconds - (time.monotonic() - began)
                one = replace(one, max_seconds=max(0.0, left))
            there = (folder / "config.yaml").is_file()
            done.append(go(one, resume=folder) if there else go(one, out=folder))
        summary = {"format": 1, "runs": {s.run_dir.name: _short(s) for s in done}}
        write_json(directory.file("summary.json"), summary)
        compare([each.run_dir for each in done], directory.file("report"))
        return Summary(directory.path, summary)


def name(budget: str) -> str:
    """Return the folder of a budget's run, e.g. ``0.1pct``."""
    return budget.replace("%", "pct").replace(" ", "")


def configs(config: RunConfig, wanted: list[str], folder: Path) -> list[RunConfig]:
    """Return the configuration of each budget's run, the one that searches first."""
    first, *rest = wanted
    leading = replace(config.search, budgets=tuple(rest))
    taking = replace(config.search, budgets=(), shared=str(folder / name(first)))
    return [
        replace(config, budget=first, out=None, search=leading),
        *(replace(config, budget=each, out=None, search=taking) for each in rest),
    ]


def plan(config: RunConfig) -> dict[str, dict[str, Any]]:
    """Return the plan for each budget of a configuration, by its text; see ``pipeline.plan``."""
    return {one: pipeline.plan(replace(config, budget=one)) for one in several(config.budget)}


def _check(config: RunConfig) -> None:
    ranks.join()
    if ranks.size() > 1:
        raise ConfigError(
            f"Several devices work on one budget at a time, and {config.budget} are several.",
            "Run the largest with --set search.budgets=B,C, and then each of the others with "
            "--set search.shared=RUN.",
        )
    if config.architecture is not None:
        message = f"One architecture has one size, and {config.budget} are several budgets."
        raise ConfigError(message, "Give one --budget.")
    if config.search.shared is not None or config.search.budgets:
        message = "search.shared and search.budgets are what several budgets set by themselves."
        raise ConfigError(message, "Leave them out.")


def _short(done: Summary) -> dict[str, Any]:
    return {key: done.summary[key] for key in _KEYS}
