"""What the rules of the race are worth: one search, then many races on what it says.

    python benchmarks/race_rules.py --seeds 4 --model DIR --data DIR
    python benchmarks/race_rules.py --summary

On a table a race costs nothing, so every search is raced under every rule and with each training
seed of the table in turn: many more comparisons than searches. Random search races under the same
rungs. Budgets, steps and costs are those of the preset ``standard``; the allowance is the same for
all. Searches that the file has are not made again. Their seeds begin at 200, where no rule was
chosen by.
"""

from __future__ import annotations

import argparse
import contextlib
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
FIRST_SEED = 200
#: First and last rung; none: the table's own and the preset's.
RUNGS = (None, (0.5, 0.5))
#: What races, by constants of ``priced`` and ``race.besides``.
RULES: dict[str, dict[str, float]] = {
    "default": {},
    "the better sixth of the fills": {"_LIKED": 1 / 6},
    "the better half of the fills": {"_LIKED": 1 / 2},
    "no uniform architectures": {"besides": 0.0},
    "the knapsack's next best in place of fills": {"_FILLS": 0, "besides": 0.0},
    "the same, uniform ones in half of the race": {"_FILLS": 0, "besides": 0.5},
}
RANDOM = "random search"
COLUMNS = ("table", "budget", "seed", "rule", "rungs", "percentile", "regret", "cost")
Row = Mapping[str, Any]


@contextlib.contextmanager
def ruled(
    work: Workspace, rule: Mapping[str, float], rungs: tuple[float, float] | None
) -> Iterator[None]:
    """Race under a rule."""
    plain = work.config
    first, last = rungs or (plain.race.first_rung, plain.race.last_rung)
    besides = rule.get("besides", plain.race.besides)
    race = replace(plain.race, first_rung=first, last_rung=last, besides=besides)
    work.session.config = replace(plain, race=race)
    constants = {name: value for name, value in rule.items() if name.startswith("_")}
    with mock.patch.multiple(priced, certainty=lambda *_: [], **constants):
        yield
    work.session.config = plain


def races(work: Workspace, table: Table, spec: TableSpec) -> Iterator[dict[str, Any]]:
    """Race what one search says under every rule, the mean over each seed of the table."""
    opinion, among = priced.ask(work, 0), table.fits(work.budget.limit)
    with mock.patch.object(priced, "ask", return_value=opinion):
        for rungs in RUNGS:
            for name, rule in {**RULES, RANDOM: {}}.items():
                strategy, spent = priced, priced.spent(work)
                if name == RANDOM:
                    strategy, spent = random_halving, 0.0
                found = []
                for seen in table.seeds:
                    trials, truth = TableTrials(table, seen, spec.scoring), table.truth(seen)
                    with ruled(work, rule, rungs):
                        place = trials.place(strategy.choose(work, trials).winner)
                    at = (percentile(place, truth, among), regret(place, truth, among))
                    found.append((*at, trials.spent + spent))
                own = [statistics.mean(column) for column in zip(*found, strict=True)]
                shown = "default" if rungs is None else f"{rungs[0]:g} to {rungs[1]:g}"
                yield {"rule": name, "rungs": shown} | dict(zip(COLUMNS[-3:], own, strict=True))


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
    """Return each rule, and the default's regret to it."""
    groups: dict[tuple[str, str], dict[tuple[str, ...], Row]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("table", "budget", "seed"))
        groups.setdefault((row["rule"], row["rungs"]), {})[key] = row
    default = groups[("default", "default")]
    head = ("what races", "rungs", "n", *COLUMNS[-3:], "regret of the default to it")
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for names, group in groups.items():
        means = [
            f"{statistics.mean(float(r[key]) for r in group.values()):.2f}" for key in COLUMNS[-3:]
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
    parser.add_argument("--seeds", type=int, default=4)
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
        for seed in range(FIRST_SEED, FIRST_SEED + typed.seeds):
            for name in typed.table:
                for budget in BUDGETS:
                    if (name, budget, str(seed)) not in known:
                        given = {"model": typed.model, "data": typed.data}
                        writer.writerows(play(read_spec(name), budget, seed, given))
                        file.flush()
                        sys.stderr.write(f"{name}, {budget}, seed {seed}\n")


if __name__ == "__main__":
    main()
