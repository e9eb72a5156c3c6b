"""The gates over the search: sizes, and scores by layer as UniPELT draws them.

Place in the flow: collect -> **gate_tables** -> figures. As in :mod:`peftsearch.report.tables`,
each function returns a tidy table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from peftsearch.architecture import NONE
from peftsearch.catalogue import method_facts
from peftsearch.report.collect import RunData


def size_trajectories(data: RunData) -> pd.DataFrame:
    """Return the mean size of each sized method over the search.

    Columns: step, stack, part, method, size: the mean of the offered sizes, weighted by their
    probability, over the sites of that stack and part (so given that the method is on).
    """
    cards = method_facts()
    names = [m for m in data.candidates["method"].unique() if m in cards and cards[m].sized]
    table = data.candidates[data.candidates["method"].isin(names)]

    def mean_size(rows: pd.DataFrame) -> pd.Series:
        """Average over sizes and sites; without any probability, over nothing."""
        mass = data.alphas[list(rows.index)]
        total = mass.sum(axis=1)
        weighted = (mass * rows["size"].to_numpy(dtype=float)).sum(axis=1)
        return weighted / total.where(total > 0)

    return _by_group(data, table, ["stack", "part", "method"], mean_size, "size")


def gate_scores(data: RunData) -> pd.DataFrame:
    """Return the gate score of each method in each layer over the search.

    Columns: step, stack, layer, method, score: the probability that the method is on, averaged
    over the sites of the layer that offer it, in [0, 1]. UniPELT (Mao et al. 2022, arXiv
    2110.07577) draws such scores of its trained gates; ours do not depend on the input, so there
    is one for all inputs.
    """
    table = data.candidates[data.candidates["method"] != NONE]

    def mass(rows: pd.DataFrame) -> pd.Series:
        """Average over the sites."""
        return data.alphas[list(rows.index)].sum(axis=1) / rows["site"].nunique()

    return _by_group(data, table, ["stack", "layer", "method"], mass, "score")


def _by_group(
    data: RunData,
    table: pd.DataFrame,
    keys: list[str],
    measure: Callable[[pd.DataFrame], pd.Series],
    name: str,
) -> pd.DataFrame:
    """Apply a measure by step to each group of candidates."""
    columns = ["step", *keys, name]
    if data.alphas.empty or table.empty:
        return pd.DataFrame(columns=columns)

    def parts() -> Iterator[pd.DataFrame]:
        """Yield the rows of one group after another."""
        for _, rows in table.groupby(keys, sort=False):
            values = measure(rows)
            part = pd.DataFrame({"step": values.index, name: values.to_numpy(dtype=float)})
            for column in keys:
                part[column] = rows[column].iloc[0]
            yield part

    return pd.concat(parts(), ignore_index=True)[columns].dropna(subset=[name])


def logged_steps(table: pd.DataFrame, most: int = 200) -> pd.DataFrame:
    """Return a table with at most so many of its steps, evenly spread, the last one included."""
    steps = np.sort(table["step"].unique())
    if len(steps) <= most:
        return table
    kept = steps[np.unique(np.linspace(0, len(steps) - 1, most).round().astype(int))]
    return table[table["step"].isin(kept)]
