"""The numbers behind every figure and sentence, as pure functions of the run's data.

Place in the flow: collect -> **tables** -> findings, figures, html. Every function returns a
tidy table (one observation per row) that is also written as CSV beside its figure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from peftsearch.architecture import NONE
from peftsearch.catalogue import method_order
from peftsearch.report.architectures import CHOICE_COLUMNS, SITE_COLUMNS
from peftsearch.report.collect import RunData
from peftsearch.report.outcome import FOUND
from peftsearch.site import PARTS

STACKS = ("encoder", "decoder")


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as dictionaries, for templates and for drawing."""
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def ordered(names: Iterable[str], known: tuple[str, ...]) -> list[str]:
    """Return the distinct names: known ones in their fixed order, then others by alphabet."""
    there = set(map(str, names))
    return [n for n in known if n in there] + sorted(there - set(known))


def method_names(data: RunData) -> list[str]:
    """Methods that the run offered or chose, in the fixed order of the registry."""
    names = set(data.candidates["method"]) | set(data.choices["method"]) - {NONE}
    return sorted(map(str, names - {NONE}), key=lambda name: (method_order(name), name))


def by_place(table: pd.DataFrame) -> pd.DataFrame:
    """Sort by stack, layer, part and method, each in its fixed order, the bottom layer first."""
    stacks, parts = ordered(table["stack"], STACKS), ordered(table["part"], PARTS)
    keys: dict[str, list[float]] = {
        "s": [stacks.index(str(s)) for s in table["stack"]],
        "l": [int(n) for n in table["layer"]],
        "p": [parts.index(str(p)) for p in table["part"]],
    }
    if "method" in table:
        keys["m"] = [method_order(str(m)) for m in table["method"]]
    order = pd.DataFrame(keys).sort_values(list(keys), kind="stable").index
    return table.iloc[list(order)].reset_index(drop=True)


def layer_assignment(data: RunData) -> pd.DataFrame:
    """Return one row per choice, empty sites included, from the bottom layer to the top.

    Columns: site, stack, layer, part, method (``none`` for empty), size, num_params, modules.
    A site with several methods has several rows. Empty before the search has decided.
    """
    if data.choices.empty:
        return data.choices.copy()
    absent = data.sites[~data.sites["site"].isin(data.choices["site"])]
    empty = absent.assign(method=NONE, size=0, num_params=0, modules="")[list(CHOICE_COLUMNS)]
    rows = pd.concat([data.choices, empty]) if len(empty) else data.choices.copy()
    return by_place(rows.reset_index(drop=True))


def heatmap(data: RunData) -> pd.DataFrame:
    """Return one row per site and method: parameters, and whether the space offers the pair.

    Columns: site, stack, layer, part, method, num_params (0 = not chosen), offered.
    """
    chosen = layer_assignment(data)
    columns = [*SITE_COLUMNS, "method", "num_params", "offered"]
    if chosen.empty:
        return pd.DataFrame(columns=columns)
    sites = chosen[list(SITE_COLUMNS)].drop_duplicates("site")
    grid = sites.merge(pd.DataFrame({"method": method_names(data)}), how="cross")
    sums = chosen.groupby(["site", "method"], as_index=False)["num_params"].sum()
    grid = grid.merge(sums, how="left", on=["site", "method"]).fillna({"num_params": 0})
    grid["num_params"] = grid["num_params"].astype(int)
    offers = set(zip(data.candidates["site"], data.candidates["method"], strict=True))
    pairs = zip(grid["site"], grid["method"], strict=True)
    there = np.array([not offers or pair in offers for pair in pairs], dtype=bool)
    grid["offered"] = there | (grid["num_params"] > 0)
    return grid[columns]


def budget_by_layer(data: RunData) -> pd.DataFrame:
    """Return one row per layer and method used in it.

    Columns: stack, layer, method, num_params, share (of all parameters found, in [0, 1]).
    Layers without anything have one row with method ``none``.
    """
    rows = layer_assignment(data)
    columns = ["stack", "layer", "method", "num_params", "share"]
    if rows.empty:
        return pd.DataFrame(columns=columns)
    active = rows[rows["method"] != NONE]
    sums = active.groupby(["stack", "layer", "method"], as_index=False)["num_params"].sum()
    layers = rows[["stack", "layer"]].drop_duplicates()
    table = layers.merge(sums, how="left", on=["stack", "layer"])
    table = table.fillna({"method": NONE, "num_params": 0})
    table["num_params"] = table["num_params"].astype(int)
    table["share"] = table["num_params"] / max(1, int(table["num_params"].sum()))
    return by_place(table.assign(part=""))[columns]


def budget_by(data: RunData, key: str) -> pd.DataFrame:
    """Return what each stack, part or method gets.

    Args:
        data: The run.
        key: ``stack``, ``part`` or ``method``.

    Returns:
        Columns: the key, choices, num_params, share (in [0, 1]), used (sites with at least
        one choice), sites (all with that stack or part; for a method, those that offer it).
    """
    rows = layer_assignment(data)
    if rows.empty:
        return pd.DataFrame(columns=[key, "choices", "num_params", "share", "used", "sites"])
    active = rows[rows["method"] != NONE]
    names = {
        "stack": ordered(rows["stack"], STACKS),
        "part": ordered(rows["part"], PARTS),
        "method": method_names(data),
    }[key]
    places = data.candidates if key == "method" and len(data.candidates) else rows
    groups = active.groupby(key)["num_params"]
    table = pd.DataFrame({key: names})
    table["choices"] = [int(groups.count().get(name, 0)) for name in names]
    table["num_params"] = [int(groups.sum().get(name, 0)) for name in names]
    table["share"] = table["num_params"] / max(1, int(active["num_params"].sum()))
    table["used"] = [active.loc[active[key] == name, "site"].nunique() for name in names]
    table["sites"] = [places.loc[places[key] == name, "site"].nunique() for name in names]
    return table


def gate_trajectories(data: RunData) -> pd.DataFrame:
    """Return the probability mass of each method over the search.

    Columns: step, stack, part, method, probability: the mean over the sites of that stack and
    part of the probability that the method is on. With one method per site the masses of a
    panel and step, ``none`` included, add up to 1; with several, each lies between 0 and 1.
    """
    columns = ["step", "stack", "part", "method", "probability"]
    if data.alphas.empty or data.candidates.empty:
        return pd.DataFrame(columns=columns)
    gates = data.candidates.reset_index(drop=True)
    if data.facts.combine == "many":
        gates = gates[gates["method"] != NONE]
    parts = []
    for key, group in gates.groupby(["stack", "part", "method"], sort=False):
        stack, part, method = map(str, key)
        place = (data.candidates["stack"] == stack) & (data.candidates["part"] == part)
        sites = data.candidates.loc[place, "site"].nunique()
        mass = data.alphas[list(group.index)].sum(axis=1) / sites
        parts.append(
            pd.DataFrame(
                {"step": mass.index, "stack": stack, "part": part, "method": method}
            ).assign(probability=mass.to_numpy())
        )
    return pd.concat(parts, ignore_index=True)[columns]


def gates_at_end(data: RunData) -> pd.DataFrame:
    """Return the last logged probability of every candidate (the site's gate scores).

    Columns: site, method, size, num_params, probability.
    """
    columns = ["site", "method", "size", "num_params", "probability"]
    if data.alphas.empty or data.candidates.empty:
        return pd.DataFrame(columns=columns)
    last = data.alphas.iloc[-1].to_numpy()
    return data.candidates.assign(probability=last)[columns]


def search_progress(data: RunData) -> pd.DataFrame:
    """Return price, expected cost, limit and losses by step, as logged."""
    return data.steps


def scores(data: RunData) -> pd.DataFrame:
    """Return the scores with each baseline's difference from the found architecture.

    Columns: name, kind, mean, sd, n, num_params, difference (baseline minus found, in the
    metric's own unit; empty for the found one).
    """
    table = data.scores.copy()
    found = table.loc[table["kind"] == FOUND, "mean"]
    reference = float(found.iloc[0]) if len(found) else float("nan")
    table["difference"] = np.where(table["kind"] == FOUND, np.nan, table["mean"] - reference)
    return table


def best_baseline(data: RunData) -> pd.Series | None:
    """Return the row of the best baseline by mean, or ``None`` where none has a score."""
    rows = data.scores[(data.scores["kind"] != FOUND) & data.scores["mean"].notna()]
    if rows.empty:
        return None
    means = rows["mean"].to_numpy()
    best = means.argmax() if data.facts.higher_is_better else means.argmin()
    return rows.iloc[int(best)]


def found_score(data: RunData) -> pd.Series | None:
    """Return the row of the found architecture, or ``None`` before it has a score."""
    rows = data.scores[(data.scores["kind"] == FOUND) & data.scores["mean"].notna()]
    return None if rows.empty else rows.iloc[0]


def race(data: RunData) -> pd.DataFrame:
    """Return the contestants, those that came furthest first, with a mark at the winner."""
    table = data.race.assign(winner=data.race["name"] == data.facts.winner)
    ascending = [False, not data.facts.higher_is_better]
    return table.sort_values(
        ["steps", "score"], ascending=ascending, kind="stable", ignore_index=True
    )


def cost(data: RunData) -> pd.DataFrame:
    """Return seconds, steps and peak memory per stage, with the stage's share of the time."""
    total = data.stages["seconds"].sum()
    return data.stages.assign(share=data.stages["seconds"] / total if total else np.nan)
