"""How the search went: gates, price and cost, and architectures scored on the supernet.

Place in the flow: tables.gate_trajectories, tables.search_progress, measured -> **figures**.
"""

from __future__ import annotations

from statistics import fmean

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from peftsearch.architecture import NONE
from peftsearch.report.canvas import blank, name_text
from peftsearch.report.palette import FAINT, INK, LIMIT, luminance, rgb, styles
from peftsearch.report.tables import STACKS, ordered
from peftsearch.report.wording import short
from peftsearch.shown import PERCENT_METRICS
from peftsearch.site import PARTS


def draw_gates(table: pd.DataFrame, methods: list[str]) -> Figure:
    """Draw the probability of each method over the search, one panel per stack and part.

    Args:
        table: :func:`peftsearch.report.tables.gate_trajectories`.
        methods: Methods in their fixed order.
    """
    stacks, parts = ordered(table["stack"], STACKS), ordered(table["part"], PARTS)
    figure = blank(max(3.6, 0.5 + 2.15 * len(parts)), 0.9 + 1.95 * len(stacks))
    grid = figure.subplots(len(stacks), len(parts), sharex=True, sharey=True, squeeze=False)
    shown = [m for m in [*methods, NONE] if m in set(table["method"])]
    looks = styles(shown)
    for row, stack in enumerate(stacks):
        for column, part in enumerate(parts):
            axes = grid[row][column]
            here = table[(table["stack"] == stack) & (table["part"] == part)]
            axes.set_title(name_text(f"{stack}, {part.replace('_', '-')}", 30), size=9)
            _gate_panel(axes, here, shown)
            if row == len(stacks) - 1:
                axes.set_xlabel("search step")
        grid[row][0].set_ylabel("mean probability")
    handles = [
        Line2D(
            [], [], color=_colour(m), linestyle=looks[m].line,
            label=f"{looks[m].letter}  {name_text(m.replace('_', ' '), 18)}",
        )
        for m in shown
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _gate_panel(axes: Axes, table: pd.DataFrame, methods: list[str]) -> None:
    if table.empty:
        axes.set_axis_off()
        axes.set_title("")
        return
    looks = styles(methods)
    ends: dict[str, float] = {}
    for method in methods:
        line = table[table["method"] == method].sort_values("step")
        if line.empty:
            continue
        ends[method] = float(line["probability"].iloc[-1])
        axes.plot(
            line["step"], line["probability"],
            color=_colour(method), linestyle=looks[method].line, lw=1.5,
        )  # fmt: skip
    last = float(table["step"].max())
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.5, 1])
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.grid(visible=True)
    for method, height in apart(ends, 0.088).items():
        axes.annotate(
            looks[method].letter, (last, height), xytext=(4, 0), textcoords="offset points",
            va="center_baseline", size=9, weight="bold", color=_ink(method), annotation_clip=False,
        )  # fmt: skip


def apart(ends: dict[str, float], least: float) -> dict[str, float]:
    """Move labels apart by at least ``least``, each group about its own middle, order kept."""
    order = sorted(ends, key=lambda name: ends[name])
    groups: list[list[float]] = []
    for rank, name in enumerate(order):
        # less its own share of the spacing, a label only has to stay at or above the one below
        groups.append([ends[name] - rank * least])
        while len(groups) > 1 and fmean(groups[-2]) > fmean(groups[-1]):
            upper = groups.pop()
            groups[-1] += upper
    flat = [fmean(group) for group in groups for _ in group]
    return {
        name: max(flat[rank], 0.0) + rank * least  # none below the axis
        for rank, name in enumerate(order)
    }


def _ink(method: str) -> str:
    """The method's hue, darkened until it reads as text on white."""
    colour = _colour(method)
    channels = [int(0.72 * c) for c in rgb(colour)] if luminance(colour) > 0.18 else [*rgb(colour)]
    return "#" + "".join(f"{c:02x}" for c in channels)


def _colour(method: str) -> str:
    return FAINT if method == NONE else styles([method])[method].colour


def draw_price(table: pd.DataFrame) -> Figure:
    """Draw losses, expected cost against the limit, and the price, over the search steps.

    Args:
        table: :func:`peftsearch.report.tables.search_progress`.
    """
    figure = blank(7.0, 5.4)
    losses, cost, price = figure.subplots(3, 1, sharex=True)
    step = table["step"]
    losses.plot(step, table["train_loss"], color="#0072B2", label="search-train")
    valid = table.dropna(subset=["valid_loss"])
    if len(valid):
        losses.plot(valid["step"], valid["valid_loss"], "--", color="#D55E00", label="search-valid")
    losses.set_ylabel("loss (nats)")
    losses.legend(frameon=False, ncols=2)
    cost.plot(step, table["expected_cost"], color="#0072B2", label="expected cost")
    cost.plot(step, table["limit"], "--", color=LIMIT, label="limit")
    cost.set_ylabel("parameters")
    top = float(table[["expected_cost", "limit"]].max().max())
    cost.set_ylim(0, 1.3 * top if top > 0 else 1.0)  # room for the legend
    cost.yaxis.set_major_formatter(FuncFormatter(lambda v, _: short(v)))
    cost.legend(frameon=False, ncols=2)
    price.plot(step, table["price"], color="#0072B2")
    price.set_ylabel("price λ\n(nats per parameter)")
    price.set_ylim(bottom=min(0.0, float(table["price"].min())))
    price.set_xlabel("search step")
    price.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4), useMathText=False)
    _mark_warmup((losses, cost, price), table)
    for axes in (losses, cost, price):
        axes.grid(visible=True)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return figure


def _mark_warmup(panels: tuple[Axes, ...], table: pd.DataFrame) -> None:
    """Shade the warm-up, in which only the weights learn."""
    warm, later = table[table["phase"] == "warmup"], table[table["phase"] != "warmup"]
    if warm.empty:
        return
    end = later["step"].min() if len(later) else warm["step"].max()
    for axes in panels:
        axes.axvspan(float(table["step"].min()), float(end), color="#eef1f4", zorder=0)
    panels[1].text(
        0.01, 0.06, "warm-up: weights only", transform=panels[1].transAxes, size=9, color="#444c55"
    )


def draw_measured(table: pd.DataFrame, metric: str, limit: int | None) -> Figure:
    """Draw the architectures sampled near the budget: parameters against supernet score.

    Args:
        table: Columns num_params, score.
        metric: Name of the score.
        limit: The budget in parameters, drawn as a line.
    """
    figure = blank(6.2, 3.2)
    axes = figure.subplots()
    axes.set_axisbelow(True)
    factor = 100 if metric in PERCENT_METRICS else 1
    scores = table["score"] * factor
    axes.scatter(table["num_params"], scores, s=26, color="#56B4E9", edgecolor=INK, linewidth=0.6)
    if limit:
        axes.axvline(limit, color=LIMIT, linestyle="--")
        axes.annotate(
            "limit ", (limit, 1), xycoords=("data", "axes fraction"), ha="right", va="top", size=9
        )
    unit = " (%)" if factor == 100 else ""
    axes.set(xlabel="trained parameters", ylabel=f"supernet {name_text(metric, 20)}{unit}")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: short(v)))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.axhline(float(scores.median()), color=FAINT, linestyle=":")
    axes.grid(visible=True)
    return figure
