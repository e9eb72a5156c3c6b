"""The score of the found architecture against the baselines.

Place in the flow: tables.scores and the single values -> **this figure**.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from peftsearch.report.canvas import blank, name_text
from peftsearch.report.outcome import FOUND
from peftsearch.report.palette import INK
from peftsearch.report.tables import records
from peftsearch.report.wording import score, spread
from peftsearch.shown import PERCENT_METRICS


def draw(table: pd.DataFrame, values: pd.DataFrame, metric: str) -> Figure:
    """Draw mean, standard deviation and every single seed, the found architecture on top.

    Args:
        table: :func:`peftsearch.report.tables.scores`.
        values: One row per retraining: name, value.
        metric: Name of the score.
    """
    rows = table[table["mean"].notna()].reset_index(drop=True)
    factor = 100 if metric in PERCENT_METRICS else 1
    figure = blank(7.2, 1.35 + 0.36 * len(rows))
    axes = figure.subplots()
    for index, row in enumerate(records(rows)):
        y = len(rows) - 1 - index
        own = values.loc[values["name"] == row["name"], "value"] * factor
        colour = "#D55E00" if row["kind"] == FOUND else "#0072B2"
        if row["kind"] == FOUND:
            axes.axhspan(y - 0.42, y + 0.42, color="#eef1f4", zorder=0)
        width = 0.0 if pd.isna(row["sd"]) else float(row["sd"]) * factor
        axes.errorbar(
            float(row["mean"]) * factor, y, xerr=width or None, fmt="D", color=colour, capsize=4,
            markersize=6.5, markeredgecolor=INK, elinewidth=1.6, zorder=3,
        )  # fmt: skip
        axes.plot(
            own, [y - 0.24] * len(own), "o", markersize=4, color=PALE, markeredgecolor=INK, lw=0
        )
    _axes(axes, rows, metric, factor)
    handles = [
        Line2D([], [], marker="D", lw=1.6, color="#0072B2", mec=INK, label="mean ± sd"),
        Line2D([], [], marker="o", lw=0, ms=4, color=PALE, mec=INK, label="one seed"),
    ]
    figure.legend(handles=handles, loc="outside lower right", ncols=2, frameon=False)
    return figure


PALE = "#ffffff"


def _axes(axes: Axes, rows: pd.DataFrame, metric: str, factor: int) -> None:
    labels = [name_text(row["name"], 26) for row in records(rows)]
    axes.set_yticks(range(len(rows) - 1, -1, -1), labels)
    for index, row in enumerate(records(rows)):
        axes.annotate(
            spread(row["mean"], row["sd"], metric), (1.015, len(rows) - 1 - index),
            xycoords=("axes fraction", "data"), va="center", size=9, annotation_clip=False,
        )  # fmt: skip
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.margins(x=0.08)
    axes.autoscale_view()
    low = axes.get_xlim()[0]
    unit = " in %" if factor == 100 else ""
    start = score(low / factor, metric)
    note = f"axis starts at {start}, not at 0" if low > 0 else "axis includes 0"
    axes.set_xlabel(f"{name_text(metric or 'score', 24)} on test{unit}  ({note})")
    axes.grid(visible=True, axis="x")
