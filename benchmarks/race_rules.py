"""What the rules of the race are worth: one search, then many races on what it says.

    python benchmarks/race_rules.py --seeds 6 --model DIR --data DIR
    python benchmarks/race_rules.py --summary

On a table a race costs nothing, so every search is raced under every rule and with each training
seed of the table in turn: many more comparisons than searches. Random search races under the same
rungs. Budgets, steps and costs are those of the preset ``standard``; the allowance is the same for
all. Searches that the file has are not made again.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from peftsearch.bench.build import workspace
from peftsearch.bench.conditions import Conditions
from peftsearch.bench.lookup import TableTrials
from peftsearch.bench.spec import TableSpec, read_spec
from peftsearch.bench.statistics import compare
from peftsearch.bench.table import Table, percentile, regret
from peftsearch.strategies import priced, random_halving
from peftsearch.workspace import Workspace

TABLES = ("micro-nli", "micro-rewrite", "micro-bert", "g2p")
BUDGETS = ("tight", "medium", "loose")
#: First and last rung; none: the table's own and the preset's.
RUNGS = (None, (0.25, 0.25), (0.25, 0.5), (0.25, 1.0), (0.5, 0.5), (0.5, 1.0), (1.0, 1.0))
BESIDES = (0.0, 0.25, 0.5)
COLUMNS = ("table", "budget", "seed", "sees", "strategy", "rungs", "besides", "percentile",
           "regret", "cost")  # fmt: skip
Row = Mapping[str, Any]


def races(work: Workspace, table: Table, spec: TableSpec) -> Iterator[dict[str, Any]]:
    """Race what one search says under every rule; with each seed of the table."""
    plain = work.config
    opinion = priced.ask(work, 0)
    with mock.patch.object(priced, "ask", return_value=opinion):
        for rungs in RUNGS:
            first, last = rungs or (plain.race.first_rung, plain.race.last_rung)
            for besides in (None, *BESIDES):
                race = replace(plain.race, first_rung=first, last_rung=last, besides=besides or 0.0)
                work.session.config = replace(plain, race=race)
                for seen in table.seeds:
                    trials = TableTrials(table, seen, spec.scoring)
                    strategy = random_halving if besides is None else priced
                    winner = strategy.choose(work, trials).winner
                    place, among = trials.place(winner), table.fits(work.budget.limit)
                    truth = table.truth(seen)
                    own = "random" if besides is None else "priced"
                    yield {
                        "sees": seen,
                        "strategy": own,
                        "rungs": "default" if rungs is None else f"{first:g} to {last:g}",
                        "besides": "" if besides is None else besides,
                        "percentile": percentile(place, truth, among),
                        "regret": regret(place, truth, among),
                        "cost": trials.spent + (0.0 if besides is None else priced.spent(work)),
                    }
    work.session.config = plain


def play(spec: TableSpec, budget: str, seed: int, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Search once, and race."""
    table = Table.read(spec.folder)
    config = Conditions("standard", **given).config(spec, budget, "priced", seed)
    facts = {"table": spec.name, "budget": budget, "seed": seed}
    with workspace(config) as work:
        work.split_seed = 0  # the rows that the table was built with
        work.features.tokenise()
        priced.search(work)
        return [facts | found for found in races(work, table, spec)]


def read(path: Path) -> list[dict[str, str]]:
    """Return the races of a file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def summary(rows: Sequence[Row]) -> list[str]:
    """Return each rule beside random search under the same rungs, and beside the default."""
    groups: dict[tuple[str, str, str], dict[tuple[str, ...], Row]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("table", "budget", "seed", "sees"))
        groups.setdefault((row["strategy"], row["rungs"], row["besides"]), {})[key] = row
    default = groups[("priced", "default", "0.25")]
    head = ("strategy", "rungs", "besides", "n", "percentile", "regret", "cost",
            "regret of the default to it")  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for names, group in groups.items():
        means = [
            f"{statistics.mean(float(r[key]) for r in group.values()):.2f}"
            for key in ("percentile", "regret", "cost")
        ]
        pairs = [[float(one[k]["regret"]) for k in group] for one in (default, group)]
        gap = statistics.mean(a - b for a, b in zip(*pairs, strict=True))
        beside = "" if group is default else f"{gap:+.2f}, p = {compare(*pairs).p:.2g}"
        lines.append(f"| {' | '.join([*names, str(len(group)), *means, beside])} |")
    return lines


def main() -> None:
    """Read the options, play, or print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", nargs="+", default=[*TABLES])
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--model")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("reports/bench/race-rules.csv"))
    parser.add_argument("--summary", action="store_true")
    typed = parser.parse_args()
    if typed.summary:
        sys.stdout.write("\n".join(summary(read(typed.out))) + "\n")
        return
    known = {(row["table"], row["budget"], row["seed"]) for row in read(typed.out)}
    new = not typed.out.is_file()
    with typed.out.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        for seed in range(typed.seeds):
            for name in typed.table:
                for budget in BUDGETS:
                    if (name, budget, str(seed)) not in known:
                        given = {"model": typed.model, "data": typed.data}
                        writer.writerows(play(read_spec(name), budget, seed, given))
                        file.flush()
                        sys.stderr.write(f"{name}, {budget}, seed {seed}\n")


if __name__ == "__main__":
    main()
