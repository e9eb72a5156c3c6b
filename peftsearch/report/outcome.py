"""What came out of a run: scores, exports and the cost of the stages, as tables.

Place in the flow: part of collect. Where ``summary.json`` is not there yet, the scores of the
retrainings that have ended are read from their own files.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

import pandas as pd

from peftsearch.report.read import Reader

STAGES = ("prepare", "search", "discretise", "retrain", "baselines", "export", "report")
FOUND = "found"
SCORE_COLUMNS = ("name", "kind", "mean", "sd", "n", "num_params")
VALUE_COLUMNS = ("name", "number", "value")
EXPORT_COLUMNS = ("target", "verified", "max_logit_difference", "tolerance", "num_params")
PROBLEM_COLUMNS = ("target", "site", "method", "reason")


def scores(reader: Reader, summary: Mapping[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the scores and their single values.

    Returns:
        ``scores``: one row for the found architecture, then one per baseline, best first.
        ``values``: one row per retraining.
    """
    entries = dict(summary.get("baselines") or _baselines(reader))
    found = summary.get("found") or _seeds(reader, "retrain")
    if found:
        entries = {FOUND: found, **entries}
    rows, values = [], []
    for name, entry in entries.items():
        kind = FOUND if name == FOUND else "baseline"
        rows.append({"name": name, "kind": kind, **entry})
        values += [
            {"name": name, "number": i, "value": v} for i, v in enumerate(entry.get("values", ()))
        ]
    table = pd.DataFrame(rows, columns=list(SCORE_COLUMNS))
    for column in ("mean", "sd", "n", "num_params"):
        table[column] = pd.to_numeric(table[column])
    best_first = not summary.get("higher_is_better", True)
    table = table.sort_values(
        ["kind", "mean"], ascending=[False, best_first], kind="stable", ignore_index=True
    )
    return table, pd.DataFrame(values, columns=list(VALUE_COLUMNS))


def _baselines(reader: Reader) -> dict[str, dict[str, Any]]:
    folder = reader.root / "baselines"
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    entries = {
        name: reader.json(f"baselines/{name}/metrics.json") or _seeds(reader, f"baselines/{name}")
        for name in names
    }
    return {name: entry for name, entry in entries.items() if entry}


def _seeds(reader: Reader, folder: str) -> dict[str, Any]:
    """Mean and sd over the ``seed-*`` folders that already hold a score."""
    paths = sorted((reader.root / folder).glob("seed-*/metrics.json"))
    runs = [reader.json(path.relative_to(reader.root).as_posix()) for path in paths]
    values = [float(run["score"]) for run in runs if "score" in run]
    if not values:
        return {}
    return {
        "mean": statistics.fmean(values),
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "n": len(values),
        "values": values,
        "num_params": next((run["num_params"] for run in runs if "num_params" in run), None),
    }


def stages(manifest: Mapping[str, Any], summary: Mapping[str, Any]) -> pd.DataFrame:
    """Return one row per stage: status, seconds, steps, peak memory in bytes."""
    recorded, cost = manifest.get("stages", {}), summary.get("cost", {})
    fields = {"seconds": "seconds", "steps": "steps", "peak_bytes": "peak_bytes"}
    names = [*STAGES, *(name for name in recorded if name not in STAGES)]
    rows = []
    for name in names:
        entry = recorded.get(name, {})
        row = {"stage": name, "status": str(entry.get("status", "pending"))}
        for column, key in fields.items():
            value = entry.get(key)
            row[column] = value if value is not None else (cost.get(key) or {}).get(name)
        rows.append(row)
    table = pd.DataFrame(rows, columns=["stage", "status", *fields])
    for column in fields:
        table[column] = pd.to_numeric(table[column])
    return table


def exports(
    reader: Reader, summary: Mapping[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, str]]:
    """Return the export targets, the sites they cannot express, and lines that load them.

    The targets' own files come before the summary: an export made after the run ended is only
    there.
    """
    entries = {str(k): dict(v) for k, v in (summary.get("exports") or {}).items()}
    folder = reader.root / "export"
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        entries[path.stem] = reader.json(f"export/{path.name}")
    for path in sorted(folder.glob("*/check.json")) if folder.is_dir() else ():
        name = path.parent.name
        entries[name] = reader.json(f"export/{name}/check.json")
    rows, problems, loading = [], [], {}
    for target, entry in entries.items():
        rows.append({**entry, "target": target, "verified": bool(entry.get("verified"))})
        problems += [{**p, "target": target} for p in entry.get("problems", ())]
        lines = entry.get("load")
        if lines:
            loading[target] = lines if isinstance(lines, str) else "\n".join(map(str, lines))
    table = pd.DataFrame(rows, columns=list(EXPORT_COLUMNS))
    return table, pd.DataFrame(problems, columns=list(PROBLEM_COLUMNS)), loading
