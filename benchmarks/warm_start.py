"""Does a warm start reach as much in fewer search steps? On a table, where the best is known.

    python benchmarks/warm_start.py --table micro-rewrite --seeds 4
    python benchmarks/warm_start.py --table g2p --model DIR --data DIR --out warm.json

For each seed a search at the loose budget is made first, by another seed. Then the default strategy
searches at the medium budget with all, half and a quarter of its steps, once from nothing and once
from what the first search found, at the same limit of single trainings: steps that the search does
not take go to the race. What it finds is looked up.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from peftsearch.bench.build import workspace
from peftsearch.bench.conditions import Conditions
from peftsearch.bench.play import play
from peftsearch.bench.spec import TableSpec, read_spec
from peftsearch.bench.statistics import compare
from peftsearch.bench.table import Table
from peftsearch.strategies import priced

SHARES = (1.0, 0.5, 0.25)


def earlier(spec: TableSpec, given: dict[str, Any], seed: int, folder: Path) -> None:
    """Search at the loose budget, and keep what a warm start reads."""
    config = Conditions("standard", **given).config(spec, "loose", "priced", 100 + seed)
    with workspace(config) as work:
        work.split_seed = 0  # the rows that the table was built with
        work.features.tokenise()
        work.session.run.write_json("space.json", work.space.to_json())
        priced.search(work)
        priced.ask(work, 0)
        for name in ("space.json", "search/measured.json"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(work.session.run.file(name), folder / name)


def one(
    spec: TableSpec, given: dict[str, Any], seed: int, share: float, start: Path | None
) -> dict[str, Any]:
    """Play once at the medium budget; the steps are a share of the preset's."""
    table = Table.read(spec.folder)
    plain = Conditions("standard", **given).config(spec, "medium", "priced", seed)
    steps = max(1, round(share * plain.search.steps))
    words = [f"search.steps={steps}", *([f"search.warm_start={start}"] if start else [])]
    config = Conditions("standard", tuple(words), **given).config(spec, "medium", "priced", seed)
    found = play(table, config, table.seeds[seed % len(table.seeds)], spec.scoring)
    facts = {"seed": seed, "share": share, "steps": steps, "warm": start is not None}
    return facts | {"percentile": found.percentile, "regret": found.regret, "tau": found.tau}


def tell(text: str) -> None:
    """Write a line of the result."""
    sys.stdout.write(text + "\n")


def shown(plays: list[dict[str, Any]], metric: str) -> None:
    """Print the medians, and the paired comparison for each share of the steps."""
    tell(f"{'steps':>6} {'start':>6} {'percentile':>11} {'regret':>7} {'tau':>6}   ({metric})")
    for share in SHARES:
        regrets = {}
        for warm in (False, True):
            rows = [p for p in plays if (p["share"], p["warm"]) == (share, warm)]
            middle = {k: statistics.median(p[k] for p in rows) for k in ("percentile", "regret")}
            tau = statistics.median(p["tau"] for p in rows)
            regrets[warm] = [p["regret"] for p in rows]
            tell(
                f"{rows[0]['steps']:>6} {'warm' if warm else 'cold':>6} "
                f"{middle['percentile']:>11.1f} {middle['regret']:>7.2f} {tau:>6.2f}"
            )
        test = compare(regrets[True], regrets[False])
        tell(f"  warm minus cold: regret {-test.median:+.2f}, n = {test.n}, p = {test.p:.2g}")


def main() -> None:
    """Read the options, play, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", default="micro-rewrite")
    parser.add_argument("--model")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--out", type=Path)
    typed = parser.parse_args()
    spec, given = read_spec(typed.table), {"model": typed.model, "data": typed.data}
    plays = []
    for seed in range(typed.seeds):
        with tempfile.TemporaryDirectory() as name:
            earlier(spec, given, seed, Path(name))
            for share in SHARES:
                for start in (None, Path(name)):
                    plays.append(one(spec, given, seed, share, start))
                    sys.stderr.write(json.dumps(plays[-1]) + "\n")
    shown(plays, spec.name)
    if typed.out:
        typed.out.write_text(
            json.dumps({"format": 1, "table": spec.name, "plays": plays}, indent=1)
        )


if __name__ == "__main__":
    main()
