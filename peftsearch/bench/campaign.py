"""Many plays: every strategy on every table at every budget, over seeds.

Place in the flow: above ``play``; writes ``plays.jsonl``, one line a finished play with all that
identifies it. What is there is not played again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import peftsearch
from peftsearch import config as configuration
from peftsearch.bench.conditions import Conditions
from peftsearch.bench.play import play, single_seconds
from peftsearch.bench.spec import TableSpec
from peftsearch.bench.table import Table
from peftsearch.bench.workers import in_parallel
from peftsearch.config import RunConfig
from peftsearch.rundir import JsonLines

PLAYS = "plays.jsonl"


@dataclass(frozen=True)
class Match:
    """One play that is wanted.

    Attributes:
        spec: The table.
        budget: Name of the budget.
        strategy: Who plays.
        seed: Seed of the search.
        config: Configuration of the play.
        plain: Configuration of the table, without a limit.
        identity: All that its outcome hangs on, as JSON types.
    """

    spec: TableSpec
    budget: str
    strategy: str
    seed: int
    config: RunConfig
    plain: RunConfig
    identity: dict[str, Any] = field(repr=False)

    @property
    def key(self) -> str:
        """The identity in short."""
        return _key(self.identity)


def matches(
    specs: Sequence[TableSpec],
    strategies: Sequence[str],
    budgets: Sequence[str],
    seeds: int,
    conditions: Conditions,
) -> list[Match]:
    """Return every play that is wanted; search seed s sees seed number s mod K of a table.

    Raises:
        ConfigError: A setting is wrong for a table.
        MissingError: A table is not built.
    """
    found = []
    for spec in specs:
        table = Table.read(spec.folder)
        plain = spec.config(conditions.model, conditions.data)
        for budget in [name for name in budgets if name in spec.budgets]:
            for strategy in strategies:
                for seed in range(seeds):
                    config = conditions.config(spec, budget, strategy, seed)
                    identity = _identity(table, spec, budget, config)
                    found.append(Match(spec, budget, strategy, seed, config, plain, identity))
    return found


def seen_seed(table: Table, seed: int) -> int:
    """Return the seed of the table that a search with this seed sees."""
    return table.seeds[seed % len(table.seeds)]


#: Settings that say where things lie; what they are is in the fingerprint of the table.
_PLACES = ("model", "task", "space", "data", "out")


def _identity(table: Table, spec: TableSpec, budget: str, config: RunConfig) -> dict[str, Any]:
    settings = configuration.to_mapping(config)
    return {
        "table": spec.name,
        "fingerprint": table.fingerprint,
        "budget": budget,
        "limit": spec.budgets[budget],
        "strategy": config.strategy,
        "seed": config.seed,
        "sees": seen_seed(table, config.seed),
        "preset": config.preset,
        "settings": {key: value for key, value in settings.items() if key not in _PLACES},
        "version": peftsearch.__version__,
    }


def _key(identity: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def run(
    wanted: Sequence[Match],
    out: Path,
    *,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, Any]]:
    """Play what has not been played yet.

    Args:
        wanted: Every play of the benchmark.
        out: Folder of ``plays.jsonl``.
        jobs: Worker processes of one thread each.
        progress: Called with the plays done and the plays in all.

    Returns:
        The records of all that is wanted, in that order.

    Raises:
        StoppedError: The user asked to stop; finished plays are kept.
    """
    with JsonLines(out / PLAYS) as lines:
        records = {record["key"]: record for record in lines.read()}
        missing = [match for match in wanted if match.key not in records]
        done = len(wanted) - len(missing)
        progress(done, len(wanted))
        for count, record in enumerate(in_parallel(play_one, missing, jobs), start=1):
            lines.append(record)
            records[record["key"]] = record
            progress(done + count, len(wanted))
    return [records[match.key] for match in wanted]


_SECONDS: dict[str, float] = {}


def play_one(match: Match) -> dict[str, Any]:
    """Play one match and return its record.

    ``cost`` is what was charged for shared weights and real trainings; ``measured`` has the
    processor time in place of the charge, in units of one real training in this process.
    """
    table = Table.read(match.spec.folder)
    if table.fingerprint not in _SECONDS:
        _SECONDS[table.fingerprint] = single_seconds(table, match.plain)
    single = _SECONDS[table.fingerprint]
    found = play(table, match.config, match.identity["sees"], match.spec.scoring)
    return {
        "format": 1,
        "key": match.key,
        **match.identity,
        **found.to_json(),
        "cost": found.trainings + found.searched,
        "measured": found.trainings + found.seconds / single,
        "single_seconds": single,
    }
