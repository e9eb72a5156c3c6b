"""Scores against parameters, search values against scores, and the front over budgets.

Place in the flow: value_tables -> **these figures**.
"""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from peftsearch.report.canvas import blank, name_text
from peftsearch.report.outcome import FOUND
from peftsearch.report.palette import INK, LIMIT
from peftsearch.report.tables import records
from peftsearch.report.value_tables import rank_agreement
from peftsearch.report.wording import short
from peftsearch.shown import PERCENT_METRICS

_FOUND, _OTHER, _ESTIMATE = "#D55E00", "#0072B2", "#56B4E9"


def draw_by_parameters(table: pd.DataFrame, metric: str, limit: int | None) -> Figure:
    """Draw each score over its parameters, with sd (thick) and 95 % interval (thin).

    Args:
        table: :func:`peftsearch.report.value_tables.score_intervals`.
        metric: Name of the score.
        limit: The budget in parameters, drawn as a line.
    """
    factor = 100 if metric in PERCENT_METRICS else 1
    figure = blank(7.2, 4.0, constrained=False)  # places are fixed before names are put
    axes = figure.subplots(gridspec_kw={"left": 0.1, "right": 0.84, "bottom": 0.2, "top": 0.97})
    for row in records(table):
        x, y = float(row["num_params"]), float(row["mean"]) * factor
        found = row["kind"] == FOUND
        colour = _FOUND if found else _OTHER
        if not math.isnan(row["low"]):
            axes.plot([x, x], [row["low"] * factor, row["high"] * factor], color=colour, lw=0.9)
            sd = float(row["sd"]) * factor
            axes.plot([x, x], [y - sd, y + sd], color=colour, lw=3, alpha=0.55)
        axes.plot(x, y, "*" if found else "D", color=colour, ms=13 if found else 6.5,
                  mec=INK, mew=0.8, zorder=5 if found else 4)  # fmt: skip
    axes.margins(0.08, 0.06)
    axes.autoscale_view()
    _limit(axes, limit)
    _name_points(axes, table, factor)
    unit = " in %" if factor == 100 else ""
    axes.set(
        xlabel="trained parameters", ylabel=f"{name_text(metric or 'score', 22)} on test{unit}"
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: short(v)))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(visible=True)
    handles = [
        Line2D([], [], marker="*", lw=0, ms=12, color=_FOUND, mec=INK, label="found"),
        Line2D([], [], marker="D", lw=0, ms=6.5, color=_OTHER, mec=INK, label="baseline"),
    ]
    if table["low"].notna().any():
        handles += [
            Line2D([], [], lw=3, alpha=0.55, color=_OTHER, label="± sd"),
            Line2D([], [], lw=0.9, color=_OTHER, label="95 % interval of the mean"),
        ]
    figure.legend(handles=handles, loc="lower center", ncols=4, frameon=False)
    return figure


#: Where a name may stand beside its point, in points, in the order in which places are tried.
_PLACES = [(side * 9, height) for height in (0, 11, -11, 22, -22, 33, -33) for side in (1, -1)]
_LETTER, _LINE = 5.8, 10.5


def _name_points(axes: Axes, table: pd.DataFrame, factor: int) -> None:
    """Name every point beside it, where no other name and no other point stands."""
    rows = records(table)
    scale = 72 / axes.figure.dpi
    spots = [
        axes.transData.transform((float(r["num_params"]), float(r["mean"]) * factor)) * scale
        for r in rows
    ]
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in spots]
    left, right = float(axes.bbox.x0) * scale, float(axes.figure.bbox.x1) * scale
    for row, (x, y) in zip(rows, spots, strict=True):
        name = name_text(row["name"], 22)
        wide = _LETTER * len(name)
        for dx, dy in _PLACES:
            start = x + dx - (wide if dx < 0 else 0)
            box = (start, y + dy - _LINE / 2, start + wide, y + dy + _LINE / 2)
            if left <= box[0] and box[2] <= right and not any(_meet(box, t) for t in taken):
                break
        taken.append(box)
        axes.annotate(
            name, (float(row["num_params"]), float(row["mean"]) * factor), xytext=(dx, dy),
            textcoords="offset points", ha="right" if dx < 0 else "left", va="center", size=9,
        )  # fmt: skip


_Box = tuple[float, float, float, float]


def _meet(a: _Box, b: _Box) -> bool:
    """Whether two boxes (left, bottom, right, top) overlap."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _limit(axes: Axes, limit: int | None) -> None:
    if limit:
        axes.axvline(limit, color=LIMIT, linestyle="--", zorder=1)
        axes.annotate(
            "limit ", (limit, 0.02), xycoords=("data", "axes fraction"), ha="right", size=9
        )


def draw_values(table: pd.DataFrame, metric: str, higher_is_better: bool) -> Figure:
    """Draw the search's value of an architecture against its score, race and test apart.

    Args:
        table: :func:`peftsearch.report.value_tables.search_values`.
        metric: Name of the score.
        higher_is_better: Whether a larger score is the better one.
    """
    kinds = [k for k in ("race", "test") if (table["kind"] == k).any()]
    figure = blank(3.7 * len(kinds) if len(kinds) > 1 else 5.0, 3.5)
    panels = figure.subplots(1, len(kinds), squeeze=False)[0]
    factor = 100 if metric in PERCENT_METRICS else 1
    unit = " (%)" if factor == 100 else ""
    titles = {"race": "race, selection split", "test": "retrained, test"}
    for axes, kind in zip(panels, kinds, strict=True):
        rows = table[table["kind"] == kind].reset_index(drop=True)
        last = rows["steps"].max()
        for row in records(rows):
            far = kind == "test" or row["steps"] == last
            error = None if math.isnan(row["sd"]) else row["sd"] * factor
            axes.errorbar(
                row["value"], row["score"] * factor, yerr=error, fmt="*" if row["found"] else "D",
                ms=13 if row["found"] else 6.5, capsize=3, mec=INK, mew=0.8, ecolor=_OTHER,
                color=_FOUND if row["found"] else _OTHER if far else "#ffffff",
                zorder=5 if row["found"] else 3,
            )  # fmt: skip
        tau = rank_agreement(rows[rows["steps"].isna() | (rows["steps"] == last)], higher_is_better)
        says = "" if math.isnan(tau) else f", τ = {tau:+.2f}"
        axes.set_title(titles[kind] + says)
        axes.set_xlabel("value by the search (sd)")
        axes.grid(visible=True)
        axes.margins(0.12)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    panels[0].set_ylabel(f"{name_text(metric or 'score', 20)}{unit}")
    handles = [
        Line2D([], [], marker="*", lw=0, ms=12, color=_FOUND, mec=INK, label="found"),
        Line2D([], [], marker="D", lw=0, ms=6.5, color=_OTHER, mec=INK, label="another"),
        Line2D([], [], marker="D", lw=0, ms=6.5, color="#ffffff", mec=INK,
               label="left the race earlier"),
    ]  # fmt: skip
    figure.legend(
        handles=handles if "race" in kinds else handles[:2], loc="outside lower center", ncols=3,
        frameon=False,
    )  # fmt: skip
    return figure


def draw_front(table: pd.DataFrame, limit: int | None) -> Figure:
    """Draw the estimated best architecture for every budget, and where trained ones lie.

    Args:
        table: :func:`peftsearch.report.value_tables.front`.
        limit: The budget of the run, drawn as a line.
    """
    figure = blank(7.0, 3.8)
    axes = figure.subplots()
    line = table[table["kind"] == "estimate"]
    axes.plot(
        line["num_params"], line["gain"], "--o", color=_ESTIMATE, mfc="#ffffff", mec=INK, mew=0.7,
        ms=4.5, lw=1.3, label="best at its budget: estimate, not trained",
    )  # fmt: skip
    for found, name in ((False, "baseline, retrained"), (True, "found, retrained")):
        rows = table[(table["kind"] == "trained") & (table["found"] == found)]
        if rows.empty:
            continue
        axes.plot(rows["num_params"], rows["gain"], "*" if found else "D", ms=13 if found else 6.5,
                  color=_FOUND if found else _OTHER, mec=INK, mew=0.8, lw=0, label=name,
                  zorder=4)  # fmt: skip
    _limit(axes, limit)
    axes.set(xlabel="trained parameters", ylabel="estimated gain (nats of loss)")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: short(v)))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(visible=True)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure
