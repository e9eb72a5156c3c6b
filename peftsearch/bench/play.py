"""Let a strategy search on a table, and say how good its choice was.

The search is the real one, supernet and all; only the trainings from scratch are looked up.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from peftsearch.bench.build import workspace
from peftsearch.bench.lookup import TableTrials
from peftsearch.bench.table import Table, additive, agreement, percentile, regret
from peftsearch.config import RunConfig
from peftsearch.strategies.base import strategy
from peftsearch.values import Values
from peftsearch.workspace import Workspace


@dataclass(frozen=True)
class Play:
    """One search on one table.

    Attributes:
        architecture: What was found, as in ``scores.csv``.
        num_params: Its parameters.
        percentile: Share of the other architectures within the budget that are worse, in percent.
        regret: Points to the best architecture within the budget.
        tau: Kendall's tau-b between the strategy's values and the truth; ``None``: no values.
        trainings: Real trainings, in single trainings.
        seconds: Processor time of everything else: supernet, measuring, deciding.
        violation: Parameters over the budget.
    """

    architecture: str
    num_params: int
    percentile: float
    regret: float
    tau: float | None
    trainings: float
    seconds: float
    violation: int

    def to_json(self) -> dict[str, Any]:
        """Return the play as JSON types."""
        return asdict(self)


def play(table: Table, config: RunConfig, seed: int) -> Play:
    """Search once.

    Args:
        table: The table.
        config: Its configuration with a budget, a strategy and the seed of the search.
        seed: The table's seed whose selection scores the strategy sees; truth is all the others.
    """
    began = time.process_time()
    module = strategy(config.strategy)
    with workspace(config) as work:
        work.split_seed = 0  # the rows that the table was built with
        trials = TableTrials(table, seed)
        module.search(work)
        verdict = module.choose(work, trials)
        limit = work.budget.limit
        values = _spread(work, table, verdict.values)
    place = trials.place(verdict.winner)
    among, truth = table.fits(limit), table.truth(seed)
    return Play(
        architecture=table.labels[place],
        num_params=int(table.num_params[place]),
        percentile=percentile(place, truth, among),
        regret=regret(place, truth, among),
        tau=None if values is None else agreement(additive(table, values), truth, among),
        trainings=trials.spent,
        seconds=time.process_time() - began,
        violation=max(0, int(table.num_params[place]) - limit),
    )


def _spread(work: Workspace, table: Table, values: Values | None) -> Values | None:
    """Return values by the table's gates; candidates that alone exceed the budget never count."""
    if values is None:
        return None
    known = {
        (gate.site.id, candidate): value
        for gate, row in zip(work.space.gates, values, strict=True)
        for candidate, value in zip(gate.candidates, row, strict=True)
    }
    return [[known.get((g.site.id, c), 0.0) for c in g.candidates] for g in table.space.gates]
