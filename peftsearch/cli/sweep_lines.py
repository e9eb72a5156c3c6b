"""What ``sweep`` prints for humans, as lines of text; nothing is printed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peftsearch import shown
from peftsearch.cli.rendering import table
from peftsearch.sweep.folder import DONE, FAILED
from peftsearch.sweep.spec import Sweep

Rows = Sequence[Mapping[str, Any]]


def _labels(rows: Rows) -> list[str]:
    """Return every axis, in the order in which they turn up."""
    return list(dict.fromkeys(axis for row in rows for axis in row["labels"]))


def _with_labels(rows: Rows, heads: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    axes = _labels(rows)
    body = [
        [*(row["labels"].get(axis, "") for axis in axes), *own]
        for row, own in zip(rows, cells, strict=True)
    ]
    return table([[*axes, *heads], *body], "  ")


def result_lines(path: Path, result: Mapping[str, Any]) -> list[str]:
    """Return a row for every run with its score, and where the report lies."""
    rows = result["runs"]
    heads = ("status", "metric", "found", "best baseline", "seconds")
    lines = [f"Report: {path / result['report']}"] if result["report"] else []
    counts = ", ".join(f"{number:,} {status}" for status, number in result["counts"].items())
    return [*lines, f"Sweep {path}: {counts}", *_with_labels(rows, heads, list(map(_cells, rows)))]


def _cells(row: Mapping[str, Any]) -> list[str]:
    seconds = f"{row['seconds']:.0f}"
    if row["status"] == FAILED:
        return [f"failed ({row['exit_code']})", "", "", "", seconds]
    if row["status"] != DONE:
        return [row["status"], "", "", "", seconds]
    best, metric = row["best_baseline"], row["metric"]
    baseline = f"{best['name']} {shown.score(best['mean'], metric)}" if best else "none"
    return [row["status"], metric, shown.entry(row["found"], metric), baseline, seconds]


def forecast_lines(wanted: Sweep, rows: Rows, command: str) -> list[str]:
    """Return the matrix with what each run would cost, and the command that makes it."""
    heads = ("status", "parameters", "candidates", "search steps", "single trainings")
    total = sum(row.get("single_trainings", 0.0) for row in rows)
    left = sum(row.get("single_trainings", 0.0) for row in rows if row["status"] != DONE)
    lines = [
        f"Sweep {wanted.name}: {len(rows):,} runs  (nothing is trained)",
        *_with_labels(rows, heads, list(map(_forecast_cells, rows))),
        f"  {total:,.1f} single trainings in all, {left:,.1f} of them to be done",
    ]
    warnings: dict[str, int] = {}
    for row in rows:
        for text in row.get("warnings", ()):
            warnings[text] = warnings.get(text, 0) + 1
    lines += [f"Warning ({n} of {len(rows)} runs): {text}" for text, n in warnings.items()]
    return [*lines, f"Next: {command}"]


def _forecast_cells(row: Mapping[str, Any]) -> list[str]:
    if "problem" in row:
        return [f"impossible ({row['exit_code']})", "", "", "", ""]
    return [
        row["status"],
        f"{row['limit']:,}",
        f"{row['candidates']:,}",
        f"{row['steps'].get('search', 0):,}",
        f"{row['single_trainings']:,.1f}",
    ]
