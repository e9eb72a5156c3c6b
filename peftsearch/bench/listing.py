"""The facts of every table, read without pandas and torch."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from peftsearch.bench.spec import FACTS, SCORES, TABLES, TableSpec, read_spec, tables


def listed(folder: Path = TABLES) -> list[dict[str, Any]]:
    """Return what is known of every table of the package, built or not."""
    return [facts(read_spec(name, folder)) for name in tables(folder)]


def facts(spec: TableSpec) -> dict[str, Any]:
    """Return what is known of a table; ``None`` where that shows only when it is built."""
    path = spec.folder / FACTS
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    gates = known["space"]["gates"] if known else []
    count = math.prod(len(gate["candidates"]) for gate in gates) if known else None
    rows = _rows(spec.folder / SCORES)
    by_seed = Counter(row["seed"] for row in rows)
    return {
        "name": spec.name,
        "architectures": count,
        "metric": known["metric"] if known else None,
        "seeds": spec.seeds,
        "built": sum(n == count for n in by_seed.values()),
        "steps": spec.steps,
        "budgets": dict(spec.budgets),
        "core_hours": round(sum(float(row["seconds"]) for row in rows) / 3600, 3),
        "needs": list(spec.needs()),
        "description": spec.description,
    }


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["seconds"]]
