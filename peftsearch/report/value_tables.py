"""What the search thought an architecture is worth, against what trainings say.

Place in the flow: collect -> **value_tables** -> figures. A value is a sum over choices, so the
best architecture for every budget follows from one search; it is an estimate until one is trained.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import stdtrit

from peftsearch.architecture import NONE
from peftsearch.report import tables
from peftsearch.report.collect import RunData
from peftsearch.report.outcome import FOUND

Array = npt.NDArray[np.float64]

VALUE_COLUMNS = ("name", "kind", "found", "num_params", "value", "score", "sd", "n", "steps")
FRONT_COLUMNS = ("name", "kind", "found", "num_params", "value", "gain", "score", "sd", "n")


def score_intervals(data: RunData) -> pd.DataFrame:
    """Return parameters and score of the found architecture and of each baseline.

    Columns: name, kind, num_params, mean, sd, n, low, high: the interval of 95 % of the mean by
    Student's t, the score's unit; empty where there is one seed.
    """
    rows = data.scores[data.scores["mean"].notna() & data.scores["num_params"].notna()].copy()
    half = [
        float(stdtrit(n - 1, 0.975)) * sd / math.sqrt(n) if n > 1 and sd == sd else math.nan
        for n, sd in zip(rows["n"], rows["sd"].astype(float), strict=True)
    ]
    return rows.assign(low=rows["mean"] - half, high=rows["mean"] + half)[
        ["name", "kind", "num_params", "mean", "sd", "n", "low", "high"]
    ].reset_index(drop=True)


def value_of(data: RunData, choices: pd.DataFrame) -> float:
    """Return the search's value of an architecture; NaN if it is not one of the space."""
    offered = data.candidates.assign(value=data.worth)
    offered = offered[offered["method"] != NONE]
    keys = ["site", "method", "size", "modules"]
    worth = offered.drop_duplicates(keys).set_index(keys)["value"]
    active = choices[choices["method"] != NONE]
    wanted = [tuple(row) for row in active[keys].itertuples(index=False)]
    if not all(key in worth.index for key in wanted):
        return math.nan
    nothing = _of_nothing(data, set(active["site"]))
    return nothing + sum(float(worth[key]) for key in wanted)


def _of_nothing(data: RunData, busy: set[str]) -> float:
    """Value of the empty sites; 0 unless the search has an opinion of nothing."""
    empty = data.candidates.assign(value=data.worth)
    empty = empty[(empty["method"] == NONE) & ~empty["site"].isin(busy)]
    return float(empty["value"].sum())


def search_values(data: RunData) -> pd.DataFrame:
    """Return the search's value of every architecture that was really trained, with its score.

    Columns: name, kind (``race``: short trainings, the selection split; ``test``: retrained,
    mean over n seeds), found (the winner), num_params, value (in deviations of the supernet's
    loss), score, sd, n, steps. Without architectures that are not of the space.
    """
    rows: list[dict[str, object]] = []
    if data.worth.empty:
        return pd.DataFrame(columns=list(VALUE_COLUMNS))
    values = {name: value_of(data, rows_) for name, rows_ in _named(data.trained)}
    for row in tables.records(data.race):
        value = values.get(f"race/{row['name']}", math.nan)
        won = row["name"] == data.facts.winner
        rows.append({**row, "kind": "race", "found": won, "value": value, "sd": math.nan, "n": 1})
    for row in tables.records(data.scores):
        found = row["kind"] == FOUND
        value = (
            value_of(data, data.choices)
            if found
            else values.get(f"baselines/{row['name']}", math.nan)
        )
        rows.append({**row, "kind": "test", "found": found, "value": value, "score": row["mean"]})
    table = pd.DataFrame(rows, columns=list(VALUE_COLUMNS))
    table = table.assign(value=pd.to_numeric(table["value"]), score=pd.to_numeric(table["score"]))
    return table.dropna(subset=["value", "score"]).reset_index(drop=True)


def _named(trained: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    return ((str(name), rows) for name, rows in trained.groupby("name", sort=False))


def rank_agreement(table: pd.DataFrame, higher_is_better: bool) -> float:
    """Return Kendall's tau-b between values and scores; NaN below three architectures."""
    if len(table) < 3 or table["value"].nunique() < 2 or table["score"].nunique() < 2:
        return math.nan
    order = [
        np.sign(np.subtract.outer(column, column))
        for column in (table["value"].to_numpy(dtype=float), table["score"].to_numpy(dtype=float))
    ]
    tau = float(
        (order[0] * order[1]).sum() / math.sqrt((order[0] ** 2).sum() * (order[1] ** 2).sum())
    )
    return tau if higher_is_better else -tau


def front(data: RunData) -> pd.DataFrame:
    """Return the best architecture for every budget, by the values of one search.

    Columns: name, kind (``estimate``, or ``trained`` for what was really trained), found,
    num_params, value, gain (nats by which the supernet's loss would be lower than with nothing at
    all, by the additive model), score, sd, n (where it was retrained).

    The estimates are exact solutions of the knapsack at the budgets that they use in full: at
    each price the best candidate of each gate; the price falls from where nothing is worth it.
    """
    if data.worth.empty or data.measured["loss"].isna().all():
        return pd.DataFrame(columns=list(FRONT_COLUMNS))
    spread = float(data.measured["loss"].astype(float).std(ddof=0))
    points = _supported(data.candidates, data.worth.to_numpy(dtype=float))
    estimate = pd.DataFrame(points, columns=["num_params", "value"]).assign(
        kind="estimate", found=False
    )
    trained = search_values(data).query("kind == 'test'").assign(kind="trained")
    both = pd.concat([estimate, trained], ignore_index=True)
    both = both.assign(gain=both["value"] * spread, name=both["name"].fillna(""))
    return both.reindex(columns=list(FRONT_COLUMNS))


def _supported(candidates: pd.DataFrame, values: Array) -> list[tuple[int, float]]:
    """Return cost and value of every architecture that is the best at some price."""
    steps: list[tuple[float, int, float]] = []
    cost, value = 0, 0.0
    for _, rows in candidates.assign(value=values).groupby("gate", sort=False):
        hull = _hull(rows["num_params"].to_numpy(dtype=float), rows["value"].to_numpy(dtype=float))
        cost, value = cost + int(hull[0][0]), value + hull[0][1]
        for (c0, v0), (c1, v1) in itertools.pairwise(hull):
            steps.append(((v1 - v0) / (c1 - c0), int(c1 - c0), v1 - v0))
    points = [(cost, value)]
    for _, more, better in sorted(steps, key=lambda step: -step[0]):
        cost, value = cost + more, value + better
        points.append((cost, value))
    return points


def _hull(costs: Array, values: Array) -> list[tuple[float, float]]:
    """Return the upper concave hull of one gate's candidates, as far as it rises."""
    best = dict(sorted(zip(costs.tolist(), values.tolist(), strict=True)))  # of equals the last
    hull: list[tuple[float, float]] = []
    for cost, value in best.items():
        if hull and value <= hull[-1][1]:
            continue
        while len(hull) > 1 and _below(hull[-2], hull[-1], (cost, value)):
            hull.pop()
        hull.append((cost, value))
    return hull


def _below(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Whether ``b`` lies on or below the line from ``a`` to ``c``."""
    return (b[1] - a[1]) * (c[0] - a[0]) <= (c[1] - a[1]) * (b[0] - a[0])
