"""One architecture for several runs: their values averaged, and the knapsack solved again.

Place in the flow: read -> **average** -> ``architecture.json`` of the comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import pandas as pd

from peftsearch.architecture import NONE, Architecture
from peftsearch.baselines import complete, to_choices
from peftsearch.compare.read import Compared
from peftsearch.compare.tables import same_shape
from peftsearch.discretise import solve
from peftsearch.errors import ConfigError
from peftsearch.report.read import Reader
from peftsearch.report.tables import records
from peftsearch.site import from_json
from peftsearch.space import Candidate, Gate, SearchSpace


def averaged(runs: Sequence[Compared]) -> Architecture:
    """Return the architecture of largest mean value within the smallest of the runs' limits.

    The values of each run are first divided by their spread, so that every run counts alike; a
    candidate that a run did not value, because it did not fit there, is left out.

    Raises:
        ConfigError: The runs have other backbones or spaces, or a strategy without values.
    """
    least = min(runs, key=lambda run: run.data.facts.limit or 0)
    why = _hindrance(runs)
    if why:
        raise ConfigError(f"There is no average of these runs: {why}.")
    reader = Reader(least.data.path)
    space = SearchSpace.from_json(reader.json("space.json"))
    own = Architecture.load(least.data.path / "architecture.json")
    mean = mean_values(runs)
    worst = min(mean.values(), default=0.0) - 1.0

    def value(gate: Gate, candidate: Candidate) -> float:
        if candidate.method == NONE:
            return 0.0
        key = (gate.site.id, candidate.method, ", ".join(candidate.modules), candidate.size)
        return mean.get(key, worst)

    values = [[value(gate, candidate) for candidate in gate.candidates] for gate in space.gates]
    found = to_choices(space, solve(space, values, own.limit))
    return Architecture(
        model=own.model,
        task=own.task,
        backbone_parameters=own.backbone_parameters,
        requested=own.requested,
        limit=own.limit,
        choices=complete(found, from_json(reader.json("sites.json")["sites"])),
    )


def mean_values(runs: Sequence[Compared]) -> dict[tuple[str, str, str, int], float]:
    """Return the mean value of each candidate that every run has valued."""
    scaled = [run.worth.assign(value=run.worth["value"] / _spread(run.worth)) for run in runs]
    found: dict[tuple[str, str, str, int], list[float]] = {}
    for row in records(pd.concat(scaled)):
        key = (str(row["site"]), str(row["method"]), str(row["modules"]), int(row["size"]))
        found.setdefault(key, []).append(float(row["value"]))
    return {key: fmean(each) for key, each in found.items() if len(each) == len(runs)}


def _spread(worth: pd.DataFrame) -> float:
    return max(float(worth["value"].std(ddof=0)), 1e-12)


def _hindrance(runs: Sequence[Compared]) -> str:
    """Say why runs cannot be averaged; ``""`` if they can."""
    first = runs[0]
    for run in runs:
        if run.worth.empty:
            return f"{run.label} has no values (strategy {run.data.config.get('strategy', '?')})"
        if not same_shape(first, run):
            return f"{first.label} and {run.label} have backbones of other shapes"
        if run.data.facts.space != first.data.facts.space:
            spaces = f"{first.data.facts.space} and {run.data.facts.space}"
            return f"{first.label} and {run.label} searched other spaces, {spaces}"
    return ""
