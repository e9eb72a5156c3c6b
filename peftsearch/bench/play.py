"""Let a strategy search on a table, and say how good its choice was.

The search is the real one, supernet and all; only the trainings from scratch are looked up.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from peftsearch.baselines import to_choices
from peftsearch.bench.build import workspace
from peftsearch.bench.lookup import TableTrials
from peftsearch.bench.table import Table, additive, agreement, percentile, regret
from peftsearch.config import RunConfig
from peftsearch.errors import ConfigError
from peftsearch.strategies.base import strategy
from peftsearch.training import Job, train
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
        searched: What was charged for shared weights, in single trainings.
        seconds: Processor time of everything but the trainings: supernet, measuring, deciding.
        violation: Parameters over the budget.
    """

    architecture: str
    num_params: int
    percentile: float
    regret: float
    tau: float | None
    trainings: float
    searched: float
    seconds: float
    violation: int

    def to_json(self) -> dict[str, Any]:
        """Return the play as JSON types."""
        return asdict(self)


def play(table: Table, config: RunConfig, seed: int, scoring: float = 0.0) -> Play:
    """Search once.

    Args:
        table: The table.
        config: Its configuration with a budget, a strategy and the seed of the search.
        seed: The table's seed whose selection scores the strategy sees; truth is all the others.
        scoring: Cost of one scoring on the selection split, in single trainings.

    Raises:
        ConfigError: Model or data are not those of the table, or nothing is left for a race.
        StoppedError: The user asked to stop.
    """
    module = strategy(config.strategy)
    with workspace(config) as work:
        work.split_seed = 0  # the rows that the table was built with
        _prepare(work, table)
        trials = TableTrials(table, seed, scoring)
        began = time.process_time()
        module.search(work)
        verdict = module.choose(work, trials)
        seconds = time.process_time() - began
        limit, searched = work.budget.limit, work.charged
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
        searched=searched,
        seconds=seconds,
        violation=max(0, int(table.num_params[place]) - limit),
    )


def _prepare(work: Workspace, table: Table) -> None:
    """Load model and rows before the clock starts, and see that they are those of the table."""
    seen = {
        "backbone_parameters": work.backbone.num_parameters,
        "data": work.data.fingerprint,
        "space": work.full_space.to_json(),
    }
    wrong = [name for name, value in seen.items() if table.facts[name] != value]
    if wrong:
        raise ConfigError(
            f"The table {table.facts['name']} was built with another {', '.join(wrong)}.",
            "Give the model and the data it was built with: --model DIR --data DIR",
        )
    work.features.tokenise()


def single_seconds(table: Table, config: RunConfig) -> float:
    """Return the processor time of one real training of the table's middle architecture.

    Args:
        table: The table; its middle one is the one with the median number of parameters.
        config: Its configuration, without a limit.
    """
    order = sorted(range(len(table.labels)), key=lambda i: (table.num_params[i], table.labels[i]))
    middle = table.architectures[order[len(order) // 2]]
    with workspace(config) as work:
        _prepare(work, table)
        file = work.session.run.file("bench", "checkpoint.safetensors")
        architecture = work.architecture(to_choices(work.full_space, middle))
        job = Job("bench", "bench", architecture, config.retrain.steps, 0, file)
        began = time.process_time()
        with train(work.session, work.backbone, work.format, work.features.race_train, job):
            return time.process_time() - began


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
