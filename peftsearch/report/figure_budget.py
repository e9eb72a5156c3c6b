"""Where the parameters went: the map of sites and methods, and the budget by layer.

Place in the flow: tables.heatmap, tables.budget_by_layer -> **these figures**.
"""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from peftsearch.architecture import NONE
from peftsearch.report.canvas import blank, inches, name_text, put
from peftsearch.report.palette import INK, PAPER, styles
from peftsearch.report.tables import STACKS, ordered, records
from peftsearch.report.wording import short

_CELL, _ROW, _NAMES, _HEAD, _FOOT, _GAP = 0.62, 0.25, 1.35, 1.2, 0.85, 0.3
_SLOPE = 40


def draw_heatmap(table: pd.DataFrame, methods: list[str]) -> Figure:
    """Draw sites by methods, parameters printed in the cells.

    Args:
        table: :func:`peftsearch.report.tables.heatmap`.
        methods: Columns, in their fixed order.
    """
    stacks = ordered(table["stack"], STACKS)
    most = max(table.loc[table["stack"] == s, "site"].nunique() for s in stacks)
    panel = _NAMES + _CELL * len(methods) + _GAP
    width = max(0.3 + panel * len(stacks) + 0.35, 5.6)
    figure = blank(width, _HEAD + _FOOT + _ROW * most, constrained=False)
    axes = inches(figure)
    scale = Normalize(0, max(1, int(table["num_params"].max())))
    for number, stack in enumerate(stacks):
        _panel(axes, table[table["stack"] == stack], methods, 0.15 + panel * number, scale)
    _heat_legend(figure, axes, scale)
    return figure


def _panel(
    axes: Axes, table: pd.DataFrame, methods: list[str], left: float, scale: Normalize
) -> None:
    looks = styles(methods)
    sites = table.drop_duplicates("site")
    top = _FOOT + _ROW * len(sites)
    x0 = left + _NAMES
    title = name_text(str(sites["stack"].iloc[0]).capitalize())
    axes.text(left, top + 0.12, title, weight="bold", size=10.5)
    for column, method in enumerate(methods):
        label = f"{looks[method].letter}  {name_text(method.replace('_', ' '), 18)}"
        x = x0 + _CELL * (column + 0.4)
        axes.text(x, top + 0.06, label, rotation=_SLOPE, rotation_mode="anchor", size=9)
    cells = {
        (r["site"], r["method"]): (int(r["num_params"]), bool(r["offered"])) for r in records(table)
    }
    for row, site in enumerate(records(sites)):
        y = _FOOT + _ROW * row
        label = f"{site['layer']}  {name_text(str(site['part']).replace('_', '-'), 16)}"
        axes.text(x0 - 0.08, y + _ROW / 2, label, ha="right", va="center", size=9)
        for column, method in enumerate(methods):
            value, offered = cells[(site["site"], method)]
            _cell(axes, x0 + _CELL * column, y, value, offered, scale)


def _cell(axes: Axes, x: float, y: float, value: int, offered: bool, scale: Normalize) -> None:
    if not value:
        hatch = "////" if offered else ""
        ground = PAPER if offered else "#eef1f4"
        put(
            axes,
            Rectangle(
                (x, y), _CELL, _ROW, facecolor=ground, edgecolor="#c4cbd3", hatch=hatch, lw=0.6
            ),
        )
        return
    colour = mpl.colormaps["cividis"](float(scale(value)))
    put(axes, Rectangle((x, y), _CELL, _ROW, facecolor=colour, edgecolor=INK, lw=0.8, zorder=2))
    ink = "#ffffff" if sum(colour[:3]) < 1.45 else "#000000"
    axes.text(
        x + _CELL / 2,
        y + _ROW / 2,
        short(value),
        ha="center",
        va="center",
        size=9,
        color=ink,
        zorder=3,
    )


def _heat_legend(figure: Figure, axes: Axes, scale: Normalize) -> None:
    width, height = figure.get_size_inches()
    bar = figure.add_axes((0.2 / width, 0.5 / height, 1.9 / width, 0.13 / height))
    mapping = mpl.cm.ScalarMappable(norm=scale, cmap="cividis")
    colours = figure.colorbar(mapping, cax=bar, orientation="horizontal")
    colours.set_label("parameters of the choice")
    colours.ax.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    colours.ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: short(v)))
    for x, hatch, ground, text in (
        (2.5, "////", PAPER, "offered, not chosen"),
        (4.4, "", "#eef1f4", "not offered"),
    ):
        put(
            axes,
            Rectangle((x, 0.44), 0.25, 0.2, facecolor=ground, edgecolor="#c4cbd3", hatch=hatch),
        )
        axes.text(x + 0.32, 0.54, text, va="center", size=9)


def draw_layers(table: pd.DataFrame, methods: list[str]) -> Figure:
    """Draw stacked bars of parameters by layer, one panel per stack, on one scale.

    Args:
        table: :func:`peftsearch.report.tables.budget_by_layer`.
        methods: Methods in their fixed order.
    """
    stacks = ordered(table["stack"], STACKS)
    most = max(table.loc[table["stack"] == s, "layer"].nunique() for s in stacks)
    figure = blank(7.4 if len(stacks) > 1 else 4.8, 1.35 + 0.3 * max(most, 3))
    panels = figure.subplots(1, len(stacks), sharex=True, squeeze=False)[0]
    used = [m for m in methods if m in set(table["method"])]
    looks = styles(methods)
    for axes, stack in zip(panels, stacks, strict=True):
        rows = table[table["stack"] == stack]
        layers = sorted(int(n) for n in rows["layer"].unique())
        wide = rows.pivot_table("num_params", "layer", "method", aggfunc="sum", fill_value=0)
        start = [0.0] * len(layers)
        for method in used:
            values = [float(wide[method].get(n, 0)) if method in wide else 0.0 for n in layers]
            look = looks[method]
            axes.barh(
                layers, values, left=start, height=0.74, color=look.colour, edgecolor=INK,
                hatch=look.hatch, linewidth=0.7,
            )  # fmt: skip
            start = [a + b for a, b in zip(start, values, strict=True)]
        for layer, total in zip(layers, start, strict=True):
            text = f" {short(total)}" if total else " 0"
            axes.text(total, layer, text, va="center", size=9)
        axes.set(title=name_text(stack.capitalize()), yticks=layers, ylim=(-0.6, layers[-1] + 0.6))
        axes.set_xlabel("trained parameters")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: short(v)))
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.margins(x=0.14)
    panels[0].set_ylabel("layer, bottom to top")
    handles = [
        Patch(facecolor=looks[m].colour, edgecolor=INK, hatch=looks[m].hatch, label=_label(m))
        for m in used
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _label(method: str) -> str:
    letter = styles([method])[method].letter
    return NONE if method == NONE else f"{letter}  {name_text(method.replace('_', ' '), 18)}"
