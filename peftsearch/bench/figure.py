"""Regret against cost: what a strategy's single trainings buy.

Place in the flow: summary and ceilings of ``bench.json`` -> **this figure**.
"""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from peftsearch.report.canvas import blank, name_text
from peftsearch.report.palette import INK

#: Okabe-Ito without yellow, black and a grey; the shape says the same once more.
_HUES = ("#D55E00", "#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#5C5C5C", "#000000")
_SHAPES = "Dos^vP*Xp<>h"
#: Width and height of a panel, and width of an entry of the legend, in inches.
_PANEL, _ENTRY = 2.5, 1.8


def looks(strategies: list[str]) -> dict[str, tuple[str, str]]:
    """Return hue and shape of each strategy; no two have both in common."""
    found = {}
    for i, name in enumerate(strategies):
        turn = i // len(_HUES)
        found[name] = _HUES[i % len(_HUES)], _SHAPES[(i + turn) % len(_SHAPES)]
    return found


def draw(result: dict[str, Any]) -> Figure:
    """Draw one row of panels per table and one column per budget.

    Args:
        result: Content of ``bench.json``.
    """
    tables = result["tables"]
    budgets = list(dict.fromkeys(name for table in tables.values() for name in table["budgets"]))
    named = looks(list(dict.fromkeys(cell["strategy"] for cell in result["summary"])))
    width = max(3.6, _PANEL * len(budgets))
    columns = int(width / _ENTRY)
    legend = 0.22 * -(-(len(named) + 1) // columns)
    figure = blank(width, _PANEL * len(tables) + legend + 0.3)
    panels = figure.subplots(len(tables), len(budgets), squeeze=False)
    for row, (name, table) in zip(panels, tables.items(), strict=True):
        for axes, budget in zip(row, budgets, strict=True):
            axes.set_visible(budget in table["budgets"])
            if budget in table["budgets"]:
                own = [c for c in result["summary"] if (c["table"], c["budget"]) == (name, budget)]
                _panel(axes, own, table["budgets"][budget]["ceiling"]["regret"], named)
                axes.set_title(f"{name_text(name, 20)}, {name_text(budget, 12)}")
        row[0].set_ylabel("regret in points")
    for axes in panels[-1]:
        axes.set_xlabel("cost in single trainings")
    _legend(figure, named, columns)
    return figure


def _panel(
    axes: Axes, cells: list[dict[str, Any]], best: float, named: dict[str, tuple[str, str]]
) -> None:
    axes.axhline(best, color=INK, linestyle="--", linewidth=1.2, zorder=1)
    for cell in cells:
        hue, shape = named[cell["strategy"]]
        x, y = cell["cost"], cell["regret"]
        axes.errorbar(
            x["median"], y["median"], xerr=_arms(x), yerr=_arms(y), fmt=shape, color=hue,
            markersize=7, markeredgecolor=INK, elinewidth=1.4, capsize=3, zorder=3,
        )  # fmt: skip
    axes.grid(visible=True)
    # From 0, with room around for the markers; a panel of zeros gets a scale all the same.
    right, top = (max(1.08 * end, 0.5) for end in (axes.dataLim.x1, axes.dataLim.y1))
    axes.set_xlim(-0.04 * right, right)
    axes.set_ylim(-0.06 * top, top)


def _arms(spread: dict[str, float]) -> list[list[float]]:
    """Return the way from the median down and up."""
    middle = spread["median"]
    return [[middle - spread["lowest"]], [spread["highest"] - middle]]


def _legend(figure: Figure, named: dict[str, tuple[str, str]], columns: int) -> None:
    handles = [
        Line2D([], [], marker=shape, lw=0, color=hue, mec=INK, ms=7, label=name_text(name, 20))
        for name, (hue, shape) in named.items()
    ]
    handles.append(Line2D([], [], color=INK, linestyle="--", label="noise ceiling"))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
