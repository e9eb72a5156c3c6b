"""What a benchmark found: one summary per table, budget and strategy, and paired comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from peftsearch.bench.spec import TableSpec
from peftsearch.bench.statistics import compare, spread
from peftsearch.bench.table import Table, ceiling

Records = Sequence[dict[str, Any]]
#: Numbers of a play that are summarised as median and range.
MEASURES = ("percentile", "regret", "tau", "cost", "measured")
#: Columns of bench.csv.
COLUMNS = (
    "table", "fingerprint", "budget", "limit", "strategy", "seed", "sees", "preset", "version",
    "architecture", "num_params", "percentile", "regret", "tau", "trainings", "searched",
    "seconds", "single_seconds", "cost", "measured", "violation",
)  # fmt: skip
OURS = "priced"


def tables_json(specs: Sequence[TableSpec], budgets: Sequence[str]) -> dict[str, Any]:
    """Return facts and noise ceilings of the tables that were played on, by name."""
    found = {}
    for spec in specs:
        table = Table.read(spec.folder)
        found[spec.name] = {
            "description": spec.description,
            "fingerprint": table.fingerprint,
            "metric": table.facts["metric"],
            "steps": table.facts["steps"],
            "architectures": table.num_architectures,
            "seeds": len(table.seeds),
            "core_hours": table.core_hours,
            "versions": table.facts.get("versions", {}),
            "budgets": {
                name: {
                    "limit": spec.budgets[name],
                    "architectures": int(table.fits(spec.budgets[name]).sum()),
                    "ceiling": asdict(ceiling(table, spec.budgets[name])),
                }
                for name in budgets
                if name in spec.budgets
            },
        }
    return found


def cells(records: Records) -> list[dict[str, Any]]:
    """Summarise over seeds, in the order of the records."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for record in records:
        key = record["table"], record["budget"], record["strategy"]
        groups.setdefault(key, []).append(record)
    found = []
    for (table, budget, strategy), group in groups.items():
        cell: dict[str, Any] = {"table": table, "budget": budget, "strategy": strategy}
        cell["n"] = len(group)
        for name in MEASURES:
            over_seeds = spread([record[name] for record in group])
            cell[name] = None if over_seeds is None else over_seeds.to_json()
        cell["violations"] = sum(record["violation"] > 0 for record in group)
        found.append(cell)
    return found


def comparisons(records: Records) -> list[dict[str, Any]]:
    """Compare the regret of ours, or of the first strategy, with that of each other one.

    Pairs are of one table, budget and seed, all pooled.
    """
    regret: dict[str, dict[tuple[str, str, int], float]] = {}
    for record in records:
        pair = record["table"], record["budget"], record["seed"]
        regret.setdefault(record["strategy"], {})[pair] = record["regret"]
    ours = OURS if OURS in regret else next(iter(regret), "")
    found = []
    for rival, theirs in regret.items():
        if rival != ours:
            pairs = list(theirs)
            result = compare([regret[ours][p] for p in pairs], [theirs[p] for p in pairs])
            found.append({"strategy": ours, "rival": rival, **result.to_json()})
    return found
