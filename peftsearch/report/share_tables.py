"""Shares of the budget, found and by chance, and what the searches chose at each site.

Place in the flow: collect, quantities -> **share_tables** -> figures.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from peftsearch.report import tables
from peftsearch.report.collect import RunData
from peftsearch.report.quantities import share_of
from peftsearch.report.searches import agreement, number

KINDS = ("stack", "part", "method")


def budget_shares(data: RunData) -> pd.DataFrame:
    """Return the share of every stack, part and method in the parameters.

    Columns: kind, name, share (of the found architecture, in [0, 1]), low and high (least and
    most over the search seeds), n (search seeds), chance_low and chance_high (mean shares of
    searches that know nothing; empty with one search seed).
    """
    columns = ["kind", "name", "share", "low", "high", "n", "chance_low", "chance_high"]
    rows = []
    for kind in KINDS:
        table = tables.budget_by(data, kind)
        for name, share in zip(table[kind], table["share"], strict=True):
            own = [_share(group, kind, str(name)) for _, group in data.searches.groupby("search")]
            means = _by_chance(data, kind, str(name))
            low, high = min(own, default=share), max(own, default=share)
            least, most = min(means, default=np.nan), max(means, default=np.nan)
            rows.append((kind, name, share, low, high, number(data.searches), least, most))
    return pd.DataFrame(rows, columns=columns)


def _share(choices: pd.DataFrame, kind: str, name: str) -> float:
    total = int(choices["num_params"].sum())
    return int(choices.loc[choices[kind] == name, "num_params"].sum()) / total if total else 0.0


def _by_chance(data: RunData, kind: str, name: str) -> list[float]:
    """Return the mean share in every way of knowing nothing."""
    if data.compared is None:
        return []
    measure = share_of(lambda rows: rows[kind] == name, None)
    return [float(np.nanmean(measure(draws))) for draws in data.compared.draws.values()]


def site_choices(data: RunData) -> pd.DataFrame:
    """Return what every search seed chose at every site; empty with one search seed.

    Columns: search, site, stack, layer, part, method, size, num_params.
    """
    columns = ["search", "site", "stack", "layer", "part", "method", "size", "num_params"]
    if number(data.searches) < 2:
        return pd.DataFrame(columns=columns)
    return data.searches[columns].reset_index(drop=True)


def confidence(data: RunData) -> pd.DataFrame:
    """Return how sure the choice at each site is.

    Columns: site, share (in [0, 1]): of the search seeds that chose the same methods there; with
    one search seed, of the supernet's plausible values that agree (``race.json``).
    """
    if number(data.searches) > 1:
        return agreement(data.searches, data.choices).rename(columns={"agree": "share"})[
            ["site", "share"]
        ]
    return data.certainty


def confidence_means(data: RunData) -> str:
    """Say in a few words what :func:`confidence` counts; empty where it has nothing."""
    seeds = number(data.searches)
    if seeds > 1:
        return f"share of {seeds} search seeds that chose the same"
    return "share of the supernet's plausible values that agree" if len(data.certainty) else ""
