"""How many uniform architectures should race? On the whole search space, where no table reaches.

    python benchmarks/race_mix.py --budget 1% 2% --seeds 6

For each budget and search seed one search is made; then the race is run with each value of
``race.besides``, the share of it that uniform architectures may have at most. What wins, and every
uniform baseline, is retrained on the same seeds and scored on test. Printed is the median
difference in points to the best uniform baseline, which was chosen by test, so a little too good.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from peftsearch import baselines
from peftsearch import config as configuration
from peftsearch.architecture import Architecture
from peftsearch.bench.build import workspace
from peftsearch.bench.statistics import compare
from peftsearch.config import RunConfig
from peftsearch.race import RealTrials
from peftsearch.retrain import retrain
from peftsearch.strategies import priced
from peftsearch.workspace import Workspace

SHARES = (0.5, 0.0, 1.0)


class Tests:
    """Test scores of architectures, each retrained once over the same seeds."""

    def __init__(self) -> None:
        self.known: dict[object, float] = {}

    def of(self, work: Workspace, architecture: Architecture) -> float:
        """Return the mean test score in points."""
        key = architecture.choices
        if key not in self.known:
            folder = work.session.run.file("retrained", str(len(self.known)))
            self.known[key] = 100 * retrain(work, architecture, "found", "retrain", folder)["mean"]
        return self.known[key]


def uniform(config: RunConfig, tests: Tests) -> dict[str, float]:
    """Return the score of every uniform baseline."""
    with workspace(config) as work:
        named = baselines.uniform_baselines(work.backbone.sites, work.cost, work.budget.limit)
        return {name: tests.of(work, work.architecture(c)) for name, c in named.items()}


def searched(config: RunConfig, seed: int, tests: Tests) -> dict[str, Any]:
    """Search once, race with each share, and score what wins; seeds of retraining stay the same."""
    found: dict[str, Any] = {}
    with workspace(replace(config, seed=seed)) as work:
        work.split_seed = 0
        work.features.tokenise()
        priced.search(work)
        session = work.session
        for share in SHARES:
            race = replace(config.race, besides=share)
            session.config = replace(config, seed=seed, race=race)
            winner = priced.choose(work, RealTrials(work)).winner
            session.config = replace(session.config, seed=0)
            score = tests.of(work, winner.architecture)
            found[f"{share:g}"] = {"winner": winner.name, "score": score}
    return found


def main() -> None:
    """Read the options, search, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="micro-t5")
    parser.add_argument("--task", default="micro-nli")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--budget", nargs="+", default=["1%", "2%"])
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--out", type=Path)
    typed = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for budget in typed.budget:
        config = configuration.resolve(
            flags={"model": typed.model, "task": typed.task, "budget": budget,
                   "preset": typed.preset, "device": "cpu", "seeds": 3}
        )  # fmt: skip
        tests = Tests()
        plain = uniform(config, tests)
        for seed in range(1, typed.seeds + 1):
            found = searched(config, seed, tests)
            rows.append({"budget": budget, "seed": seed, "uniform": plain, "found": found})
            sys.stderr.write(json.dumps(rows[-1]) + "\n")
    gaps = {s: [r["found"][s]["score"] - max(r["uniform"].values()) for r in rows]
            for s in rows[0]["found"]}  # fmt: skip
    first = next(iter(gaps))
    for share, values in gaps.items():
        own = sum(not r["found"][share]["winner"].startswith("uniform") for r in rows)
        test = compare(values, gaps[first])
        sys.stdout.write(
            f"{share:>5}  {statistics.median(values):+.1f} points to the best uniform "
            f"({min(values):+.1f} to {max(values):+.1f}), {own} of {len(rows)} proposed by the "
            f"search; to {first}: {test.median:+.2f}, n = {test.n}, p = {test.p:.2g}\n"
        )
    if typed.out:
        typed.out.write_text(json.dumps({"format": 1, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
