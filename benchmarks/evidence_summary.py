"""What the files of ``evidence.py`` say: differences to what was found, with intervals.

    python benchmarks/evidence_summary.py reports/evidence

Differences are in points of the task's metric, found minus the other, paired by the seed of the
retraining. Their 95 % intervals are percentiles of a bootstrap in which searches and seeds of
retraining are drawn anew, each on its own, since every search is retrained on the same seeds; over
all tasks, the tasks are drawn anew too. Of a task at several lengths of training the longest
counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

RIVALS = ("single", "random", "unipelt")
_RESAMPLES = 10_000


def grid(cell: Mapping[str, Any], name: str) -> np.ndarray:
    """Return test scores in points, (searches or 1, seeds)."""
    found = cell[name]
    rows = [found] if "scores" in found else list(found.values())
    return 100 * np.array([row["scores"] for row in rows])


def differences(cell: Mapping[str, Any], rival: str) -> np.ndarray:
    """Return found minus a rival, (searches, seeds)."""
    return np.asarray(grid(cell, "found") - grid(cell, rival))


def interval(tables: Sequence[np.ndarray]) -> tuple[float, float, float]:
    """Return the mean over tasks, and the ends of its 95 % interval.

    Args:
        tables: Differences of each task, (searches, seeds).
    """
    rng = np.random.default_rng(0)
    means = []
    for _ in range(_RESAMPLES):
        drawn = rng.integers(len(tables), size=len(tables))
        means.append(np.mean([_resampled(tables[t], rng) for t in drawn]))
    low, high = np.percentile(means, [2.5, 97.5])
    return float(np.mean([t.mean() for t in tables])), float(low), float(high)


def _resampled(table: np.ndarray, rng: np.random.Generator) -> float:
    searches, seeds = (rng.integers(n, size=n) for n in table.shape)
    return float(table[np.ix_(searches, seeds)].mean())


def cells_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what is finished by budget and task, each task at its longest."""
    cells: dict[str, dict[str, Any]] = {}
    read = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    for stem, content in sorted(read.items(), key=lambda item: steps(item[1])):
        for budget, cell in content.get("budgets", {}).items():
            if len(cell.get("found", {})) == 3:  # the last of a budget
                cells.setdefault(budget, {})[content["task"]] = {"file": stem, **cell}
    return {budget: dict(sorted(tasks.items())) for budget, tasks in cells.items()}


def steps(content: Mapping[str, Any]) -> int:
    """Return how long each training of a file was."""
    key = "retrain.steps="
    return next(int(text.removeprefix(key)) for text in content["settings"] if key in text)


def shown(scores: np.ndarray) -> str:
    """Return mean and standard deviation."""
    values = scores.ravel().tolist()
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"


def main() -> None:
    """Read the files, print two tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("reports/evidence"))
    cells = cells_of(parser.parse_args().folder)
    out = sys.stdout.write
    out("| task | budget | found | single, chosen by selection | random | UniPELT |\n")
    out("| --- | --- | --- | --- | --- | --- |\n")
    for budget, tasks in cells.items():
        for cell in tasks.values():
            scores = [shown(grid(cell, name)) for name in ("found", *RIVALS)]
            scores[1] += f" ({cell['single']['name']})"
            out(f"| {cell['file']} | {budget} | {' | '.join(scores)} |\n")
    out("\n| budget | tasks | found minus | mean | 95 % interval |\n")
    out("| --- | --- | --- | --- | --- |\n")
    for budget, tasks in cells.items():
        for rival in RIVALS:
            tables = [differences(cell, rival) for cell in tasks.values()]
            mean, low, high = interval(tables)
            names = ", ".join(cell["file"] for cell in tasks.values())
            out(f"| {budget} | {names} | {rival} | {mean:+.1f} | {low:+.1f} to {high:+.1f} |\n")


if __name__ == "__main__":
    main()
