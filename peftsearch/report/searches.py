"""The architectures of several search seeds as one table, and how far they agree.

Place in the flow: collect -> **searches** -> patterns, figures. A run with several search seeds
keeps the architecture of each in ``search/seed-<k>/architecture.json``; a run with one has its
``architecture.json`` only.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from peftsearch.architecture import NONE

#: Thirds of a stack by depth, from the input up.
THIRDS = ("early", "middle", "late")


def number(searches: pd.DataFrame) -> int:
    """Return how many search seeds there are."""
    return int(searches["search"].nunique())


def with_depth(rows: pd.DataFrame, sites: pd.DataFrame) -> pd.DataFrame:
    """Add ``third``: the third of its stack a layer lies in; ``""`` below three layers.

    Args:
        rows: Anything with the columns stack and layer.
        sites: All sites; says how many layers each stack has.
    """
    depth = {s: 1 + int(layers.max()) for s, layers in sites.groupby("stack")["layer"]}
    pairs = zip(rows["stack"], rows["layer"], strict=True)
    named = [
        THIRDS[min(2, 3 * int(layer) // depth[stack])] if depth.get(stack, 0) >= 3 else ""
        for stack, layer in pairs
    ]
    return rows.assign(third=pd.Series(named, index=rows.index, dtype=object))


def agreement(searches: pd.DataFrame, choices: pd.DataFrame) -> pd.DataFrame:
    """Return for every site of the found architecture how many searches chose alike there.

    Columns: site, agree (share of the searches with the same methods there, in [0, 1]), used
    (share with any method there).
    """
    columns = ["site", "agree", "used"]
    if choices.empty or number(searches) < 2:
        return pd.DataFrame(columns=columns)
    mine = _methods(choices)
    others = [_methods(rows) for _, rows in searches.groupby("search")]
    rows = [
        {
            "site": site,
            "agree": float(np.mean([other.get(site, frozenset()) == own for other in others])),
            "used": float(np.mean([bool(other.get(site)) for other in others])),
        }
        for site, own in mine.items()
    ]
    return pd.DataFrame(rows, columns=columns)


def _methods(choices: pd.DataFrame) -> dict[str, frozenset[str]]:
    """Return the methods of each site."""
    return {
        str(site): frozenset(map(str, methods)) - {NONE}
        for site, methods in choices.groupby("site", sort=False)["method"]
    }


def overlaps(searches: pd.DataFrame) -> pd.DataFrame:
    """Return how alike each pair of searches is.

    Columns: first, second (numbers of the searches), overlap (parameters that both spend on the
    same method at the same site, over those that either spends, in [0, 1]: a weighted Jaccard
    index), sites (share of the sites at which both take the same methods).
    """
    spent, methods = {}, {}
    for seed, rows in searches.groupby("search"):
        active = rows[rows["method"] != NONE]
        spent[seed] = active.groupby(["site", "method"])["num_params"].sum()
        methods[seed] = _methods(rows)
    found = []
    for a, b in itertools.combinations(spent, 2):
        both = pd.concat([spent[a], spent[b]], axis=1).fillna(0)
        either = float(both.max(axis=1).sum())
        places = {**methods[a], **methods[b]}
        same = [methods[a].get(s, frozenset()) == methods[b].get(s, frozenset()) for s in places]
        found.append(
            {
                "first": a,
                "second": b,
                "overlap": float(both.min(axis=1).sum()) / either if either else 1.0,
                "sites": float(np.mean(same)),
            }
        )
    return pd.DataFrame(found, columns=["first", "second", "overlap", "sites"])
