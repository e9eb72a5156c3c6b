"""Budget by stack, part and method, and what each search seed chose at each site.

Place in the flow: share_tables -> **these figures**.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import PercentFormatter

from peftsearch.architecture import NONE
from peftsearch.report.canvas import blank, inches, name_text, put
from peftsearch.report.palette import FAINT, INK, PAPER, Style, styles
from peftsearch.report.share_tables import KINDS
from peftsearch.report.tables import STACKS, ordered, records
from peftsearch.report.wording import NOTHING, label, percent
from peftsearch.site import PARTS

_NEUTRAL, _CHANCE = "#7fa8c9", "#c4cbd3"
_CELL, _ROW, _LABEL, _GAP, _MARGIN = 0.3, 0.24, 0.42, 0.14, 0.15
_HEAD, _FOOT = 0.85, 0.15
_WIDEST = 10.6


def draw_shares(table: pd.DataFrame, methods: list[str]) -> Figure:
    """Draw one panel for stacks, parts and methods each, shares as bars.

    Args:
        table: :func:`peftsearch.report.share_tables.budget_shares`.
        methods: Methods in their fixed order.
    """
    numbers = [int((table["kind"] == kind).sum()) for kind in KINDS]
    figure = blank(7.2, 1.25 + 0.29 * sum(numbers) + 0.35 * len(KINDS))
    panels = figure.subplots(len(KINDS), 1, sharex=True, height_ratios=[n + 0.6 for n in numbers])
    for axes, kind in zip(panels, KINDS, strict=True):
        _bars(axes, table[table["kind"] == kind].reset_index(drop=True), kind, methods)
    panels[-1].set_xlabel("share of the trained parameters")
    several = bool((table["n"] > 1).any())
    handles: list[Patch | Line2D] = [
        Patch(facecolor=_NEUTRAL, edgecolor=INK, label="found architecture")
    ]
    if several:
        handles += [
            Line2D([], [], color=INK, lw=1.6, marker="|", ms=7, label="range over search seeds"),
            Patch(facecolor=_CHANCE, edgecolor="none", label="searches that know nothing"),
        ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _bars(axes: Axes, rows: pd.DataFrame, kind: str, methods: list[str]) -> None:
    looks = styles(methods)
    names = []
    for y, row in enumerate(records(rows)):
        look = looks.get(str(row["name"])) if kind == "method" else None
        axes.barh(
            y, row["share"], height=0.66, color=look.colour if look else _NEUTRAL,
            hatch=look.hatch if look else "", edgecolor=INK, linewidth=0.7, zorder=2,
        )  # fmt: skip
        end = float(row["share"])
        if row["n"] > 1:
            axes.plot(
                [row["low"], row["high"]], [y, y], color=INK, lw=1.6, marker="|", ms=7, zorder=4
            )
            low, high = float(row["chance_low"]), float(row["chance_high"])
            axes.barh(y, max(high - low, 0.006), left=low, height=0.94, color=_CHANCE, zorder=1)
            end = max(end, float(row["high"]))
        axes.text(end, y, f"  {percent(float(row['share']))}", va="center", size=9, zorder=5)
        name = name_text(label(row["name"]) if kind == "part" else row["name"], 24)
        names.append(f"{look.letter}  {name}" if look else name)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1.12)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.set_title(f"by {kind}", loc="left", size=9.5)
    axes.grid(visible=True, axis="x")
    axes.set_axisbelow(True)


def draw_agreement(table: pd.DataFrame, methods: list[str]) -> Figure:
    """Draw every site as a row of cells, one for each search seed, layers bottom to top.

    Args:
        table: :func:`peftsearch.report.share_tables.site_choices`.
        methods: Methods in their fixed order.
    """
    searches = sorted(table["search"].unique())
    stacks = ordered(table["stack"], STACKS)
    parts = {s: ordered(table.loc[table["stack"] == s, "part"], PARTS) for s in stacks}
    layers = {s: sorted(int(n) for n in table.loc[table["stack"] == s, "layer"].unique())
              for s in stacks}  # fmt: skip
    column = max(_CELL * len(searches), 1.12) + _GAP
    widths = {s: _LABEL + column * len(parts[s]) for s in stacks}
    stacked = sum(widths.values()) + 2 * _MARGIN > _WIDEST
    heights = {s: _HEAD + _ROW * len(layers[s]) + _FOOT for s in stacks}
    width = (max if stacked else sum)(widths.values()) + 2 * _MARGIN
    height = (sum if stacked else max)(heights.values())
    figure = blank(max(width, 4.2), height, constrained=False)
    axes = inches(figure)
    looks = styles([*methods, NONE])
    x, floor = _MARGIN, _FOOT
    for stack in stacks:
        rows = table[table["stack"] == stack]
        top = floor + _ROW * len(layers[stack])
        axes.text(x + _LABEL, top + 0.5, name_text(stack.capitalize()), weight="bold", size=11)
        for number, layer in enumerate(layers[stack]):
            y = floor + _ROW * number
            axes.text(x + _LABEL - 0.08, y + _ROW / 2, str(layer), ha="right", va="center")
        for place, part in enumerate(parts[stack]):
            left = x + _LABEL + column * place
            axes.text(left, top + 0.26, name_text(label(part), 16), size=9)
            here = rows[rows["part"] == part]
            for index, seed in enumerate(searches):
                cell = left + _CELL * index
                axes.text(cell + _CELL / 2, top + 0.06, str(seed), ha="center", size=9)
                own = here[here["search"] == seed]
                for number, layer in enumerate(layers[stack]):
                    choices = own[own["layer"] == layer]
                    _cell(axes, choices, looks, cell, floor + _ROW * number)
        if stacked:
            floor += heights[stack]
        else:
            x += widths[stack]
    return figure


def _cell(axes: Axes, choices: pd.DataFrame, looks: dict[str, Style], x: float, y: float) -> None:
    """Draw what one search chose at one site; several methods share the cell."""
    if choices.empty:
        return
    names = [str(m) for m in choices["method"] if m != NONE]
    frame = (_CELL - 0.03, _ROW - 0.03)
    if not names:
        put(axes, Rectangle((x, y), *frame, facecolor=PAPER, edgecolor=FAINT, linestyle="--"))
        axes.text(x + frame[0] / 2, y + frame[1] / 2, NOTHING, ha="center", va="center", size=9)
        return
    part = frame[0] / len(names)
    for index, name in enumerate(names):
        left = x + part * index
        box = Rectangle(
            (left, y), part, frame[1], facecolor=looks[name].tint, edgecolor=INK, lw=0.7
        )
        put(axes, box)
        strip = Rectangle((left, y), part, 0.05, facecolor=looks[name].colour, edgecolor="none")
        put(axes, strip)
    axes.text(
        x + frame[0] / 2, y + frame[1] / 2 + 0.02, "+".join(looks[n].letter for n in names[:2]),
        ha="center", va="center", size=9, weight="bold",
    )  # fmt: skip
