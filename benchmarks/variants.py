"""What each piece of a strategy is worth, and how good its rivals get when they are tuned as well.

    python benchmarks/variants.py --strategy all --model DIR --data DIR
    python benchmarks/variants.py --strategy all --best --seeds 10 --model DIR --data DIR
    python benchmarks/variants.py --summary
    python benchmarks/variants.py --summary --best

Every variant is a strategy with a setting or a piece of it changed, played on every table at the
medium budget with the preset ``standard``. The summary holds each variant against its strategy's
first one, paired by table and seed.

With ``--best`` each strategy plays with the variant that has the best mean percentile so far, at
all budgets; the summary then holds ``priced`` against all others. A play that the file has is not
played again.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from peftsearch.bench.campaign import Match, matches, play_one
from peftsearch.bench.conditions import Conditions
from peftsearch.bench.spec import TableSpec, read_spec
from peftsearch.bench.statistics import compare
from peftsearch.feature_splits import FeatureSplits
from peftsearch.formats import Feature
from peftsearch.strategies import base
from peftsearch.supernet.gates import PricedGates

BUDGETS = ("tight", "medium", "loose")
MEDIUM = "medium"
TABLES = ("micro-nli", "micro-rewrite", "micro-bert", "g2p")
NOTED = ("seed", "architecture", "percentile", "regret", "tau", "cost", "measured")
SHOWN = ("percentile", "regret", "tau", "cost")
#: Plays by table, budget and seed.
Plays = Mapping[tuple[str, str, str], Mapping[str, str]]


@dataclass(frozen=True)
class Variant:
    """One change.

    Attributes:
        settings: Texts of ``--set``; ``*`` before a number multiplies the table's own value.
        piece: Puts another piece in place of the strategy's own while it plays.
    """

    settings: tuple[str, ...] = ()
    piece: Callable[[], AbstractContextManager[Any]] = nullcontext


@contextmanager
def soft() -> Iterator[None]:
    """Samples as in DARTS: every candidate runs, weighed by a softmax (Liu et al. 2019, eq. 2)."""

    def draw(
        self: PricedGates, count: int, temperature: float, exploration: float, limit: float
    ) -> Tensor:
        log_q = self.explored(self.distribution(limit)[0], exploration, limit)
        noise = -torch.log(-torch.log(torch.rand(count, *log_q.shape, dtype=log_q.dtype) + 1e-20))
        return torch.softmax((log_q + noise) / temperature, dim=-1)

    with mock.patch.object(PricedGates, "draw", draw):
        yield


@contextmanager
def folds(share: float, *, swapped: bool = False) -> Iterator[None]:
    """Train weights on a share of the rows and gates on the rest; swapped in every other search."""
    current = {"number": 0}
    build = base.build_supernet

    def noting(work: Any, gates: Any = None, number: int = 0) -> Any:
        current["number"] = number
        return build(work, gates, number)

    def part(first: bool) -> property:
        def rows(self: FeatureSplits) -> list[Feature]:
            both = self.format.features([*self.splits.search_train, *self.splits.search_valid])
            cut = round(share * len(both))
            turned = swapped and current["number"] % 2 == 1
            return list(both[:cut] if first != turned else both[cut:])

        return property(rows)

    with (
        mock.patch.object(base, "build_supernet", noting),
        mock.patch.object(FeatureSplits, "search_train", part(True)),
        mock.patch.object(FeatureSplits, "search_valid", part(False)),
    ):
        yield


_TWO = ("search.seeds=2", "search.steps=*0.5", "search.measured=*0.5")
#: What shared weights have in common: how gates and weights are trained.
_GATES = {
    "gates' rate a third": Variant(("search.arch_lr=*0.3333",)),
    "gates' rate three times": Variant(("search.arch_lr=*3",)),
    "gates at every step": Variant(("search.gate_every=1",)),
    "one architecture in a batch": Variant(("search.architectures_per_batch=1",)),
    "warm-up of 10 %": Variant(("search.warmup_fraction=0.1",)),
    "second order": Variant(("search.bilevel=second",)),
}
_RATES = {
    "rates halved": Variant(("learning_rates=*0.5",)),
    "rates doubled": Variant(("learning_rates=*2",)),
}
_RUNGS = {
    "from an eighth": Variant(("race.first_rung=0.125",)),
    "from a quarter": Variant(("race.first_rung=0.25",)),
    "from a half": Variant(("race.first_rung=0.5",)),
    "from an eighth to a half": Variant(("race.first_rung=0.125", "race.last_rung=0.5")),
    "from a quarter to a half": Variant(("race.first_rung=0.25", "race.last_rung=0.5")),
    "whole trainings": Variant(("race.first_rung=1", "race.last_rung=1")),
}
_FIDELITIES = {
    "scored at an eighth": Variant(("race.first_rung=0.125", "race.last_rung=0.125")),
    "scored at a half": Variant(("race.first_rung=0.5", "race.last_rung=0.5")),
    "whole trainings": Variant(("race.first_rung=1", "race.last_rung=1")),
}
VARIANTS: Mapping[str, Mapping[str, Variant]] = {
    "priced": {
        "default": Variant(),
        "one architecture in a batch": Variant(("search.architectures_per_batch=1",)),
        "eight architectures in a batch": Variant(("search.architectures_per_batch=8",)),
        "gates at every step": Variant(("search.gate_every=1",)),
        "eight measured architectures": Variant(("search.measured=8",)),
        "warm-up of 90 %": Variant(("search.warmup_fraction=0.9",)),
        "second order": Variant(("search.bilevel=second",)),
        "even sampling to the end": Variant(("search.exploration_end=1",)),
        "soft samples": Variant((), soft),
        "weights on half of the rows, gates on half": Variant((), lambda: folds(0.5)),
        "weights on 90 % of the rows": Variant((), lambda: folds(0.9)),
        "half of the search, more race": Variant(("search.steps=*0.5",)),
        "half of both search and measuring": Variant(("search.steps=*0.5", "search.measured=*0.5")),
        "half as much search again, less race": Variant(("search.steps=*1.5",)),
        "two searches of half the length": Variant(_TWO),
        "two folds, swapped": Variant(_TWO, lambda: folds(0.5, swapped=True)),
    },
    "s3pet": {"default": Variant(), **_GATES},
    "gumbel": {"default": Variant(), **_GATES},
    "saliency": {"default": Variant(), **_RATES},
    "saliency-per-cost": {"default": Variant(), **_RATES},
    "random-sharing": {
        "default": Variant(),
        "one architecture in a batch": Variant(("search.architectures_per_batch=1",)),
        "eight architectures in a batch": Variant(("search.architectures_per_batch=8",)),
        "twice the rows for a score": Variant(("search.valid_rows=*2",)),
        **_RATES,
    },
    "random": {"default": Variant(), **_RUNGS},
    "tpe": {"default": Variant(), **_FIDELITIES},
    "uniform": {"default": Variant(), **_RUNGS},
}


def scaled(spec: TableSpec, conditions: Conditions, strategy: str, text: str) -> list[str]:
    """Return a setting as ``--set`` takes it: what is relative times the table's own value."""
    key, _, value = text.partition("=")
    if not value.startswith("*"):
        return [text]
    own: Any = conditions.config(spec, MEDIUM, strategy, 0)
    for name in key.split("."):
        own = getattr(own, name)
    factor = float(value[1:])
    if isinstance(own, dict):
        return [f"{key}.{method}={factor * rate:g}" for method, rate in own.items()]
    return [f"{key}={type(own)(factor * own)}"]


def wanted(
    place: tuple[str, str], given: Mapping[str, Any], strategy: str, name: str, seeds: int
) -> list[Match]:
    """Return the plays of a variant on a table at a budget."""
    spec, plain = read_spec(place[0]), Conditions("standard", **given)
    settings = VARIANTS[strategy][name].settings
    texts = [t for text in settings for t in scaled(spec, plain, strategy, text)]
    conditions = Conditions("standard", tuple(texts), **given)
    return matches([spec], [strategy], [place[1]], seeds, conditions)


def read(path: Path) -> list[dict[str, str]]:
    """Return the plays of a file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def append(path: Path, row: Mapping[str, object]) -> None:
    """Add a play to a file."""
    new = not path.is_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [*row])
        if new:
            writer.writeheader()
        writer.writerow(row)


def best(rows: Sequence[Mapping[str, str]], strategy: str) -> str:
    """Return the variant with the best mean percentile at the medium budget; a tie: the first."""
    found = {}
    for name in VARIANTS[strategy]:
        of = [r for r in rows if (r["strategy"], r["variant"]) == (strategy, name)]
        scores = [float(r["percentile"]) for r in of if (r["budget"], r["tuning"]) == (MEDIUM, "1")]
        if scores:
            found[name] = statistics.mean(scores)
    return max(found, key=lambda name: found[name])


def play_all(typed: argparse.Namespace, strategy: str) -> None:
    """Play what the file has not: every variant, or the best one at every budget."""
    rows, given = read(typed.out), {"model": typed.model, "data": typed.data}
    known = {(r["strategy"], r["variant"], r["key"]) for r in rows}
    names = [best(rows, strategy)] if typed.best else [*VARIANTS[strategy]]
    places = [(table, budget) for table in typed.table for budget in BUDGETS]
    for name in names:
        for table, budget in places if typed.best else [(t, MEDIUM) for t in typed.table]:
            for match in wanted((table, budget), given, strategy, name, typed.seeds):
                if (strategy, name, match.key) in known:
                    continue
                with VARIANTS[strategy][name].piece():
                    found = play_one(match)
                facts = {"strategy": strategy, "variant": name, "table": table, "budget": budget}
                facts |= {"tuning": str(int(not typed.best)), "key": match.key}
                append(typed.out, facts | {key: found[key] for key in NOTED})
                sys.stderr.write(f"{strategy}, {name}, {table}, {found['percentile']:.1f}\n")


def by_place(rows: Sequence[Mapping[str, str]], strategy: str, name: str) -> Plays:
    """Return the plays of a variant by table, budget and seed."""
    of = [r for r in rows if (r["strategy"], r["variant"]) == (strategy, name)]
    return {(r["table"], r["budget"], r["seed"]): r for r in of}


def against(ours: Plays, theirs: Plays) -> str:
    """Return the paired difference of regret, ours minus theirs."""
    pairs = [key for key in ours if key in theirs]
    if not pairs:
        return ""
    test = compare(*([float(plays[key]["regret"]) for key in pairs] for plays in (ours, theirs)))
    return f"{0.0 - test.median:+.2f}, n = {test.n}, p = {test.p:.2g}"


def row(plays: Plays, words: Sequence[str]) -> str:
    """Return a line of a table: words, then means."""
    means = []
    for key in SHOWN:
        numbers = [float(r[key]) for r in plays.values() if r[key]]
        means.append(f"{statistics.mean(numbers):.2f}" if numbers else "")
    return f"| {' | '.join([*words, str(len(plays)), *means])} |"


def summary(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return each variant beside the first one of its strategy."""
    head = ["strategy", "variant", "n", *SHOWN, "regret to the default's"]
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    tuning = [r for r in rows if r["tuning"] == "1"]
    for strategy, variants in VARIANTS.items():
        first = by_place(tuning, strategy, next(iter(variants)))
        for name in variants:
            plays = by_place(tuning, strategy, name)
            beside = against(plays, first) if plays != first else ""
            if plays:
                lines.append(f"{row(plays, [strategy, name])} {beside} |")
    return lines


def summary_of_best(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return each strategy's best variant, over all budgets, beside that of ``priced``."""
    head = ["strategy", "variant", "n", *SHOWN, "regret of priced to it"]
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    there = [s for s in VARIANTS if any(r["strategy"] == s for r in rows)]
    names = {strategy: best(rows, strategy) for strategy in there}
    ours = by_place(rows, "priced", names["priced"])
    for strategy, name in names.items():
        plays = by_place(rows, strategy, name)
        beside = "" if strategy == "priced" else against(ours, plays)
        lines.append(f"{row(plays, [strategy, name])} {beside} |")
    return lines


def main() -> None:
    """Read the options, play, or print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strategy", nargs="+", default=["priced"], choices=["all", *VARIANTS])
    parser.add_argument("--table", nargs="+", default=[*TABLES])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--model")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("reports/bench/variants.csv"))
    parser.add_argument("--best", action="store_true")
    parser.add_argument("--summary", action="store_true")
    typed = parser.parse_args()
    if typed.summary:
        made = summary_of_best if typed.best else summary
        sys.stdout.write("\n".join(made(read(typed.out))) + "\n")
        return
    for strategy in VARIANTS if "all" in typed.strategy else typed.strategy:
        play_all(typed, strategy)


if __name__ == "__main__":
    main()
