"""The figures of a comparison: scores, and how alike the architectures are.

Place in the flow: tables -> **figures** -> write. Drawing only: every number is in the table that
is written beside the figure.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.cluster import hierarchy

from peftsearch.report.canvas import blank, name_text
from peftsearch.report.palette import INK
from peftsearch.report.tables import records
from peftsearch.report.wording import NOTHING, short
from peftsearch.shown import PERCENT_METRICS

_OURS, _THEIRS = "#D55E00", "#0072B2"


def draw_scores(table: pd.DataFrame) -> Figure:
    """Draw by how much each run's architecture differs from its best baseline, with intervals.

    Args:
        table: :func:`peftsearch.compare.tables.overview`.
    """
    rows = table[table["gap"].notna()].reset_index(drop=True)
    figure = blank(7.2, 1.2 + 0.4 * len(rows))
    axes = figure.subplots()
    for index, row in enumerate(records(rows)):
        y, factor = len(rows) - 1 - index, 100 if row["metric"] in PERCENT_METRICS else 1
        gap, low, high = (factor * float(row[key]) for key in ("gap", "low", "high"))
        if not np.isnan(low):
            axes.plot([low, high], [y, y], color=_THEIRS, lw=2, solid_capstyle="butt")
        axes.plot(gap, y, "D", color=_OURS, markeredgecolor=INK, markersize=6.5)
    axes.axvline(0, color=INK, lw=1)
    axes.set_yticks(
        range(len(rows) - 1, -1, -1),
        [name_text(f"{row['run']} ({row['metric']})", 34) for row in records(rows)],
    )
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("found minus best baseline (points, or the metric's unit); better is right")
    axes.grid(visible=True, axis="x")
    return figure


def draw_square(
    table: pd.DataFrame, tree: npt.NDArray[np.float64] | None, lowest: float, label: str
) -> Figure:
    """Draw a square table as a matrix with its numbers, ordered by the tree that stands above it.

    Args:
        table: Square, in [lowest, 1]; nan where nothing can be compared.
        tree: A linkage of the rows; ``None`` for the order given and no tree.
        lowest: Where the scale begins.
        label: What the numbers are.
    """
    count = len(table)
    side = 1.6 + 0.62 * count
    figure = blank(side + 1.2, side + (1.1 if tree is not None else 0.0))
    order = list(range(count))
    if tree is not None:
        above, axes = figure.subplots(2, 1, height_ratios=[1.0, 0.62 * count])
        order = _draw_tree(above, tree)
    else:
        axes = figure.subplots()
    names = [name_text(table.index[i], 24) for i in order]
    shown = table.to_numpy(dtype=float)[np.ix_(order, order)]
    axes.imshow(shown, vmin=lowest, vmax=1, cmap="cividis", aspect="auto")
    for (y, x), number in np.ndenumerate(shown):
        text = NOTHING if np.isnan(number) else f"{number:.2f}"
        dark = np.isnan(number) or number > (lowest + 1) / 2
        axes.text(x, y, text, ha="center", va="center", color=INK if dark else "white", size=9)
    axes.set_xticks(range(count), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(count), names)
    axes.grid(visible=False)
    axes.set_xlabel(label)
    return figure


def _draw_tree(axes: Axes, tree: npt.NDArray[np.float64]) -> list[int]:
    """Draw a dendrogram whose leaves stand over the columns; return their order."""
    drawn = hierarchy.dendrogram(tree, no_plot=True)
    for xs, ys in zip(drawn["icoord"], drawn["dcoord"], strict=True):
        # A leaf of scipy's lies at 5, 15, 25, ...; a column of the matrix at 0, 1, 2, ...
        axes.plot([(x - 5) / 10 for x in xs], ys, color=INK, lw=1.2)
    leaves = [int(i) for i in drawn["leaves"]]
    axes.set_xlim(-0.5, len(leaves) - 0.5)
    axes.set_ylim(0, max(1e-6, 1.05 * float(tree[:, 2].max())))
    axes.set_xticks([])
    axes.set_ylabel("1 - overlap")
    axes.grid(visible=False)
    return leaves


def draw_shares(table: pd.DataFrame, key: str) -> Figure:
    """Draw what share of its budget each run gives to each stack, part or method.

    Args:
        table: :func:`peftsearch.compare.tables.shares`.
        key: ``stack``, ``part`` or ``method``.
    """
    wide = table.pivot_table(index="run", columns=key, values="share", sort=False)
    figure = blank(max(4.0, 2.6 + 1.0 * wide.shape[1]), 1.4 + 0.42 * len(wide))
    axes = figure.subplots()
    shown = wide.to_numpy(dtype=float)
    axes.imshow(shown, vmin=0, vmax=1, cmap="cividis", aspect="auto")
    for (y, x), share in np.ndenumerate(shown):
        text = NOTHING if np.isnan(share) else f"{short(100 * share)} %"
        dark = np.isnan(share) or share > 0.5
        axes.text(x, y, text, ha="center", va="center", color=INK if dark else "white", size=9)
    axes.set_xticks(range(wide.shape[1]), [name_text(str(c).replace("_", " "), 18) for c in wide])
    axes.set_yticks(range(len(wide)), [name_text(run, 30) for run in wide.index])
    axes.set_xlabel(f"share of the parameters found, by {key}")
    axes.grid(visible=False)
    return figure
