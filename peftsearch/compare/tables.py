"""The numbers of a comparison, as pure functions of the runs.

Place in the flow: read -> **tables** -> figures, write.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from peftsearch.compare.read import KEY, Compared
from peftsearch.report.outcome import FOUND
from peftsearch.report.tables import best_baseline, budget_by, by_place, found_score
from peftsearch.site import split_id

PLACE = ("stack", "layer", "part")
#: Confidence of every interval.
LEVEL = 0.95


def overview(runs: Sequence[Compared]) -> pd.DataFrame:
    """Return one row per run.

    Columns: run, model, task, metric, requested, limit, used, n, mean, sd, baseline (the best
    one), and by how much the found architecture differs from it: gap, low, high (the mean over
    retraining seeds and its 95 % interval, in the metric's own unit; higher is better).
    """
    rows = []
    for run in runs:
        facts, found, best = run.data.facts, found_score(run.data), best_baseline(run.data)
        row = {
            "run": run.label,
            "model": facts.model,
            "task": facts.task,
            "metric": facts.metric,
            "requested": facts.requested,
            "limit": facts.limit,
            "used": facts.used,
            "n": 0 if found is None else int(found["n"]),
            "mean": np.nan if found is None else float(found["mean"]),
            "sd": np.nan if found is None else float(found["sd"]),
            "baseline": "" if best is None else str(best["name"]),
        }
        other = [] if best is None else values(run, str(best["name"]))
        gap, low, high = paired(values(run), other, run.data.facts.higher_is_better)
        rows.append({**row, "gap": gap, "low": low, "high": high})
    return pd.DataFrame(rows)


def values(run: Compared, name: str = FOUND) -> list[float]:
    """Return the test scores of the found architecture, or of a baseline, by retraining seed."""
    own = run.data.values[run.data.values["name"] == name].sort_values("number")
    return [float(value) for value in own["value"]]


def paired(
    ours: Sequence[float], theirs: Sequence[float], higher_is_better: bool = True
) -> tuple[float, float, float]:
    """Return the mean difference of pairs and its interval (Student's t); better is positive.

    The interval is empty (nan) for one pair, everything for unequal numbers or none.
    """
    nothing = float("nan")
    if not ours or len(ours) != len(theirs):
        return nothing, nothing, nothing
    gaps = np.subtract(ours, theirs) * (1 if higher_is_better else -1)
    mean = float(gaps.mean())
    if len(gaps) < 2:
        return mean, nothing, nothing
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(gaps) - 1) * stats.sem(gaps))
    return mean, mean - half, mean + half


def differences(runs: Sequence[Compared]) -> pd.DataFrame:
    """Return the difference of every two runs that were scored on the same rows.

    Columns: run, other, n, gap, low, high (first minus second, paired by retraining seed).
    """
    rows = []
    for one, other in itertools.combinations(runs, 2):
        if not same_test(one, other):
            continue
        gap, low, high = paired(values(one), values(other), one.data.facts.higher_is_better)
        if not np.isnan(gap):
            n = len(values(one))
            row = {"run": one.label, "other": other.label, "n": n}
            rows.append({**row, "gap": gap, "low": low, "high": high})
    return pd.DataFrame(rows, columns=["run", "other", "n", "gap", "low", "high"])


def same_test(one: Compared, other: Compared) -> bool:
    """Whether two runs have one task, one metric and the same rows."""
    facts, theirs = one.data.facts, other.data.facts
    if (facts.task, facts.metric) != (theirs.task, theirs.metric):
        return False
    data, others = (run.data.manifest.get("data") or {} for run in (one, other))
    rows, their_rows = (d.get("rows", {}).get("test") for d in (data, others))
    return data.get("fingerprint") == others.get("fingerprint") and rows == their_rows


def same_shape(one: Compared, other: Compared) -> bool:
    """Whether two backbones have the same sites."""
    return set(one.data.sites["site"]) == set(other.data.sites["site"])


def overlap(runs: Sequence[Compared]) -> pd.DataFrame:
    """Return how alike the architectures are: a square table of numbers in [0, 1].

    The share of the budget that two architectures spend alike, in methods and places: the sum
    over sites and methods of the smaller of the two shares. 1: every site gets the same share by
    the same methods; 0: nothing in common; nan: backbones of other shapes.
    """

    def alike(one: Compared, other: Compared) -> float:
        if not same_shape(one, other):
            return float("nan")
        keys = ["site", "method"]
        both = [run.choices.groupby(keys)["share"].sum() for run in (one, other)]
        return float(pd.concat(both, axis=1).fillna(0.0).min(axis=1).sum())

    return _square(runs, alike)


def agreement(runs: Sequence[Compared]) -> pd.DataFrame:
    """Return Kendall's tau between the values of the candidates that two runs share.

    A value is what the supernet says of a candidate, relative to nothing at its gate; nan: fewer
    than three candidates in common, or no values.
    """

    def alike(one: Compared, other: Compared) -> float:
        joint = one.worth.merge(other.worth, on=KEY, suffixes=("", "_other"))
        if len(joint) < 3 or not same_shape(one, other):
            return float("nan")
        return float(stats.kendalltau(joint["value"], joint["value_other"]).statistic)

    return _square(runs, alike)


def _square(runs: Sequence[Compared], alike: Callable[[Compared, Compared], float]) -> pd.DataFrame:
    names = [run.label for run in runs]
    table = pd.DataFrame(np.nan, index=names, columns=names)
    for one, other in itertools.combinations_with_replacement(runs, 2):
        table.loc[one.label, other.label] = table.loc[other.label, one.label] = alike(one, other)
    return table


def tree(similarity: pd.DataFrame) -> npt.NDArray[np.float64] | None:
    """Return the average linkage of 1 - similarity; ``None`` where a pair cannot be compared."""
    distance = 1 - similarity.to_numpy(dtype=float)
    if np.isnan(distance).any():
        return None
    np.fill_diagonal(distance, 0.0)
    condensed = squareform(np.clip(distance, 0.0, 1.0), checks=False)
    found: npt.NDArray[np.float64] = hierarchy.linkage(condensed, "average", optimal_ordering=True)
    return found


def choices(runs: Sequence[Compared]) -> pd.DataFrame:
    """Return one row per site and method that any run chose.

    Columns: site, stack, layer, part, method, runs (how many chose it), tasks (their names),
    kind: ``shared`` (every run), ``task`` (every run of one task and none of another), ``budget``
    (every run whose limit is at least that of any which chose it, and no other), else empty.
    """
    chosen = {run.label: set(zip(run.choices["site"], run.choices["method"], strict=True))
              for run in runs}  # fmt: skip
    rows = []
    for site, method in sorted(set().union(*chosen.values())):
        having = [run for run in runs if (site, method) in chosen[run.label]]
        tasks = sorted({run.data.facts.task for run in having})
        row = {"site": site, **dict(zip(PLACE, split_id(site), strict=True)), "method": method}
        more = {"runs": len(having), "tasks": ", ".join(tasks), "kind": _kind(runs, having)}
        rows.append({**row, **more})
    columns = ["site", *PLACE, "method", "runs", "tasks", "kind"]
    return by_place(pd.DataFrame(rows, columns=columns))


def _kind(runs: Sequence[Compared], having: Sequence[Compared]) -> str:
    """Say what the runs that chose something have in common, and no other run has."""
    if len(having) == len(runs):
        return "shared"
    tasks = {run.data.facts.task for run in having}
    every = {run.data.facts.task for run in runs}
    if len(every) > 1 and len(tasks) == 1:
        return "task" if len(having) == sum(r.data.facts.task in tasks for r in runs) else ""
    limits = [run.data.facts.limit for run in runs]
    if len(every) == 1 and None not in limits and len(set(limits)) > 1:
        least = min(run.data.facts.limit or 0 for run in having)
        return "budget" if len(having) == sum((limit or 0) >= least for limit in limits) else ""
    return ""


def shares(runs: Sequence[Compared], key: str) -> pd.DataFrame:
    """Return what each run gives to each stack, part or method.

    Args:
        runs: The runs.
        key: ``stack``, ``part`` or ``method``.

    Returns:
        Columns: run, the key, share (of the parameters found, in [0, 1]; 0 where the run has the
        place or method and chose nothing there, absent where it has not).
    """
    parts = []
    for run in runs:
        own = budget_by(run.data, key)[[key, "share"]]
        parts.append(own.assign(run=run.label)[["run", key, "share"]])
    return pd.concat(parts, ignore_index=True)
