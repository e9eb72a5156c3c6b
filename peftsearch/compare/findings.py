"""What a comparison found, in sentences made from its tables.

Place in the flow: tables -> **findings** -> write.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from peftsearch.report.wording import difference, plural
from peftsearch.shown import PERCENT_METRICS


def answer(overview: pd.DataFrame) -> list[str]:
    """Say in how many runs the search surely beat the best baseline, and in how many it lost."""
    rows = overview[overview["low"].notna()]
    if rows.empty:
        return ["No run has enough retraining seeds to say whether the search was worth it."]
    better, worse = int((rows["low"] > 0).sum()), int((rows["high"] < 0).sum())
    open_ = len(rows) - better - worse
    return [
        f"Of {plural(len(rows), 'run')}, the found architecture is better than the best baseline "
        f"in {better}, worse in {worse}, and not to be told apart in {open_} (95 % intervals over "
        f"retraining seeds; the best of several baselines is favoured by being chosen on test)."
    ]


def gap(row: Mapping[str, Any]) -> str:
    """Return a difference with its interval, in points where scores are per cent."""
    metric = str(row["metric"])
    unit = " points" if metric in PERCENT_METRICS else ""
    middle, low, high = (float(row[key]) for key in ("gap", "low", "high"))
    if np.isnan(middle):
        return "not comparable"
    if np.isnan(low):
        return f"{difference(middle, metric)}{unit} (n = 1)"
    return (
        f"{difference(middle, metric)}{unit} [{difference(low, metric)}, "
        f"{difference(high, metric)}]"
    )


def alike(overlap: pd.DataFrame) -> list[str]:
    """Name the two most and the two least alike architectures."""
    table = overlap.to_numpy(dtype=float)
    pairs = [
        (table[i, j], overlap.index[i], overlap.index[j])
        for i in range(len(table))
        for j in range(i)
        if not np.isnan(table[i, j])
    ]
    if not pairs:
        return ["No two runs have backbones of one shape: nothing can be laid side by side."]
    most, least = max(pairs), min(pairs)
    said = [f"Most alike: {most[2]} and {most[1]}, which spend {100 * most[0]:.0f} % alike."]
    if len(pairs) > 1:
        said.append(f"Least alike: {least[2]} and {least[1]}, {100 * least[0]:.0f} %.")
    return said


def shared(choices: pd.DataFrame, runs: int) -> list[str]:
    """Say how many choices every run made, and how many belong to one task or size of budget."""
    kinds = choices["kind"].value_counts()
    said = [
        f"{plural(int(kinds.get('shared', 0)), 'choice')} of {len(choices)} (a method at a site) "
        f"{'was' if kinds.get('shared', 0) == 1 else 'were'} made by all {runs} runs."
    ]
    if kinds.get("task"):
        said.append(f"{kinds['task']} were made by every run of one task and by no other.")
    if kinds.get("budget"):
        said.append(f"{kinds['budget']} come with a larger budget.")
    return said


def averages(values: pd.DataFrame) -> str:
    """Say how far the supernets agree on average."""
    table = values.to_numpy(dtype=float)
    upper = table[np.triu_indices(len(table), 1)]
    known = upper[~np.isnan(upper)]
    if not len(known):
        return "There are no values of the same candidates to compare."
    return (
        f"Kendall's tau between the values of the same candidates: median {np.median(known):.2f} "
        f"over {plural(len(known), 'pair')} of runs, from {known.min():.2f} to {known.max():.2f}."
    )
