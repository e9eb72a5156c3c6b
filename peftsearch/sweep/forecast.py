"""What each run of a sweep would do, without doing it.

Place in the flow: points -> **forecast**, by the plan of each run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from peftsearch import config as configuration
from peftsearch.config import RunConfig
from peftsearch.errors import PeftSearchError
from peftsearch.sweep.folder import PENDING, SweepFolder
from peftsearch.sweep.spec import Point


def forecast(points: Sequence[Point], folder: SweepFolder | None = None) -> list[dict[str, Any]]:
    """Return one row per run: name, labels, status, and the counts of its plan.

    Runs that differ in their seed alone are counted once.

    Args:
        points: The runs.
        folder: Where they would lie, if it is there.

    Returns:
        The rows; one that cannot be planned has ``problem`` and ``exit_code`` instead of counts.
    """
    known: dict[str, dict[str, Any]] = {}
    rows = []
    for point in points:
        key = configuration.dump(replace(point.config, seed=0))
        if key not in known:
            known[key] = _counts(point.config)
        status = PENDING if folder is None else folder.status(point)
        head = {"name": point.name, "labels": dict(point.labels), "status": status}
        rows.append({**head, **known[key]})
    return rows


def _counts(config: RunConfig) -> dict[str, Any]:
    # Imported here: to read a sweep takes no torch.
    from peftsearch import pipeline

    try:
        plan = pipeline.plan(config)
    except PeftSearchError as error:
        return {"problem": f"{error.message} {error.hint}".strip(), "exit_code": error.exit_code}
    return {
        "limit": plan["budget"]["limit"],
        "candidates": plan["space"]["candidates"],
        "single_trainings": round(plan["single_trainings"], 1),
        "steps": {stage["name"]: stage["steps"] * stage["trainings"] for stage in plan["stages"]},
        "warnings": plan["warnings"],
    }
