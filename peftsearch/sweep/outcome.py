"""What a sweep has come to: ``sweep.json``, one report over its runs, and what is to be said.

Place in the flow: folder -> **outcome**; the report is that of ``peftsearch compare``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peftsearch.errors import PeftSearchError, StoppedError, paste
from peftsearch.rundir import read_json, write_json
from peftsearch.sweep.folder import (
    DONE,
    FAILED,
    FORMAT,
    PENDING,
    RESULT,
    UNFINISHED,
    SweepFolder,
)
from peftsearch.sweep.spec import Point, Sweep

REPORT = "report"
#: A page with more runs than this is not read, and its tables of pairs grow with the square.
MOST_COMPARED = 64


class FailedRunsError(PeftSearchError):
    """Some runs of a sweep failed; the exit code is that of the first in the file.

    Args:
        message: How many, and which is the first.
        hint: Where to see why, and how to try again.
        exit_code: Of the first failed run.
    """

    def __init__(self, message: str, hint: str, exit_code: int) -> None:
        super().__init__(message, hint)
        self.exit_code = exit_code


def collect(sweep: Sweep, folder: SweepFolder, points: Sequence[Point]) -> dict[str, Any]:
    """Return the content of ``sweep.json``: every run with its status and, once done, its score."""
    rows = [_row(folder, point) for point in points]
    counts = Counter(row["status"] for row in rows)
    return {
        "format": FORMAT,
        "name": sweep.name,
        "file": str(sweep.path),
        "counts": dict(sorted(counts.items())),
        "runs": rows,
        "no_longer_in_the_file": folder.strangers(points),
        "report": None,
    }


def _row(folder: SweepFolder, point: Point) -> dict[str, Any]:
    status, record = folder.status(point), folder.record(point)
    row: dict[str, Any] = {
        "name": point.name,
        "labels": dict(point.labels),
        "status": status,
        "run_dir": f"runs/{point.name}",
        "seconds": record.seconds if record else 0.0,
        "attempts": record.attempts if record else 0,
    }
    if status == FAILED and record is not None:
        row |= {"exit_code": record.exit_code, "reason": record.reason}
        row["log"] = f"logs/{point.name}.log"
    if status == DONE:
        summary = read_json(folder.run_dir(point) / "summary.json")
        row |= {key: summary[key] for key in ("model", "task", "metric", "found")}
        best = max(summary["baselines"].items(), key=lambda b: b[1]["mean"], default=None)
        row["best_baseline"] = None if best is None else {"name": best[0], **best[1]}
    return row


def write(folder: SweepFolder, result: dict[str, Any], *, report: bool = True) -> str:
    """Write ``sweep.json`` and, of two or more finished runs, the report.

    Several sweeps that end together on one folder write one after the other; a report over the
    same runs is not written again.

    Args:
        folder: Of the sweep.
        result: From :func:`collect`; gets the place of the report.
        report: Whether to write one.

    Returns:
        Why there is no report; empty if there is.
    """
    done = [row["name"] for row in result["runs"] if row["status"] == DONE]
    why = _why_not(folder, len(done)) if report else "The sweep is not at its end."
    with folder.alone():
        page = folder.path / REPORT / "report.html"
        before = read_json(folder.path / RESULT)
        write_json(folder.path / RESULT, result)
        if not why:
            if before.get("compared") != done or not page.is_file():
                from peftsearch.compare import compare

                compare([folder.path / "runs" / name for name in done], page.parent)
            result |= {"report": f"{REPORT}/report.html", "compared": done}
            write_json(folder.path / RESULT, result)
    return why


def _why_not(folder: SweepFolder, done: int) -> str:
    """Return why finished runs have no common report, and what to type instead."""
    if done < 2:
        return "A report takes two finished runs."
    if done > MOST_COMPARED:
        pattern = paste("peftsearch", "compare", "--glob", folder.path / "runs" / "PATTERN")
        return f"{done} runs are too many for one report; take some: {pattern}"
    return ""


def require_success(folder: SweepFolder, result: dict[str, Any], again: str) -> None:
    """Raise if a run failed.

    Args:
        folder: Of the sweep.
        result: From :func:`collect`.
        again: The command that tries failed runs again.

    Raises:
        FailedRunsError: Names the runs, the reason of the first, and its log.
    """
    failed = [row for row in result["runs"] if row["status"] == FAILED]
    if not failed:
        return
    first = failed[0]
    names = ", ".join(row["name"] for row in failed[:5]) + (", ..." if len(failed) > 5 else "")
    message = f"{len(failed)} of {len(result['runs'])} runs failed: {names}."
    hint = (
        f"The first, with exit code {first['exit_code']}: {first['reason']}\n"
        f"All it said: {Path(folder.path / first['log'])}\n"
        f"Once mended, try again with: {again}"
    )
    raise FailedRunsError(message, hint, first["exit_code"])


def require_finished(result: dict[str, Any]) -> None:
    """Raise if runs are left that somebody stopped from outside.

    Args:
        result: From :func:`collect`.

    Raises:
        StoppedError: Some runs are not at their end.
    """
    left = [row["name"] for row in result["runs"] if row["status"] in (PENDING, UNFINISHED)]
    if left:
        raise StoppedError(15, f"{len(left)} runs were stopped from outside, e.g. {left[0]}")
