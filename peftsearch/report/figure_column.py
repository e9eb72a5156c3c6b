"""The layer assignment for a paper: one column wide, the decoder on the encoder.

Place in the flow: tables.layer_assignment -> **this figure**. The same towers as in
``figure_towers``, in a row of one line each: at 3.4 inches its text is 9 points in print. A
box holds the size in bold (the parameters, where a method has no size); the parameters of every
choice are in the table beside the figure.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from peftsearch.architecture import NONE
from peftsearch.catalogue import method_facts
from peftsearch.report.canvas import blank, inches, name_text, put
from peftsearch.report.figure_towers import badge, hollow, sure_bar
from peftsearch.report.palette import INK, Style, styles
from peftsearch.report.tables import STACKS, ordered, records
from peftsearch.report.wording import short
from peftsearch.site import PARTS

WIDTH = 3.4
_ROW, _LEFT, _TOTAL, _HEAD, _BETWEEN, _MARGIN = 0.27, 0.34, 0.45, 0.42, 0.12, 0.05
_BADGE, _ENTRY, _ENTRY_ROW = 0.29, 1.09, 0.24
_HEADS = {
    "attention": "attn", "cross_attention": "cross", "feed_forward": "ffn", "norm": "norm",
}  # fmt: skip


def draw(table: pd.DataFrame, methods: list[str], sure: dict[str, float], means: str) -> Figure:
    """Draw the towers one upon the other.

    Args:
        table: :func:`peftsearch.report.tables.layer_assignment`.
        methods: Methods in their fixed order, for the legend.
        sure: How sure the choice at each site is, in [0, 1].
        means: What that share counts, in words; empty where there is none.
    """
    stacks = ordered(table["stack"], STACKS)
    used = [m for m in methods if m in set(table["method"])]
    looks = styles([*methods, NONE])
    per_row = int((WIDTH - 2 * _MARGIN) // _ENTRY)
    legend = _ENTRY_ROW * (-(-(len(used) + 1) // per_row) + bool(means)) + 0.1
    depth = {s: int(table.loc[table["stack"] == s, "layer"].max()) + 1 for s in stacks}
    heights = [_HEAD + _ROW * depth[s] for s in stacks]
    figure = blank(WIDTH, legend + sum(heights) + _BETWEEN * len(stacks), constrained=False)
    axes = inches(figure)
    floor = legend
    for stack, height in zip(stacks, heights, strict=True):
        _tower(axes, table[table["stack"] == stack], looks, sure, floor)
        floor += height + _BETWEEN
    _legend(axes, used, looks, per_row, legend - _ENTRY_ROW)
    if means:
        sure_bar(axes, _MARGIN, 0.1, _BADGE, 0.67)
        axes.text(_MARGIN + _BADGE + 0.06, 0.12, _short(means), va="center_baseline", size=9)
    return figure


def _short(means: str) -> str:
    return means.replace("share of the supernet's plausible values that agree", "agreeing values")


def _tower(
    axes: Axes, rows: pd.DataFrame, looks: dict[str, Style], sure: dict[str, float], floor: float
) -> None:
    parts = ordered(rows["part"], PARTS)
    width = (WIDTH - _LEFT - _TOTAL - _MARGIN) / len(parts)
    top = floor + _ROW * (int(rows["layer"].max()) + 1)
    axes.text(_MARGIN, top + 0.22, name_text(str(rows["stack"].iloc[0]).capitalize()),
              weight="bold", size=10)  # fmt: skip
    axes.text(WIDTH - _MARGIN, top + 0.05, "params", size=9, ha="right")
    for column, part in enumerate(parts):
        x = _LEFT + width * column
        axes.text(x, top + 0.05, name_text(_HEADS.get(part, part), 8), size=9)
        for site, choices in rows[rows["part"] == part].groupby("site", sort=False):
            y = floor + _ROW * int(choices["layer"].iloc[0])
            _site(axes, choices, looks, (x, y + 0.06, width - 0.05, _ROW - 0.08))
            if site in sure:
                sure_bar(axes, x, y + 0.01, width - 0.05, sure[str(site)])
    for layer in range(int(rows["layer"].max()) + 1):
        own = rows[rows["layer"] == layer]
        y = floor + _ROW * (layer + 0.5)
        axes.text(_LEFT - 0.07, y, str(layer), ha="right", va="center_baseline", size=9)
        total = short(int(own["num_params"].sum()))
        axes.text(WIDTH - _MARGIN, y, total, ha="right", va="center_baseline", size=9)


def _site(
    axes: Axes,
    choices: pd.DataFrame,
    looks: dict[str, Style],
    frame: tuple[float, float, float, float],
) -> None:
    active = records(choices[choices["method"] != NONE])
    if not active:
        hollow(axes, frame)
        return
    x, y, width, height = frame
    part = width / len(active)
    cards = method_facts()
    for index, choice in enumerate(active):
        name = str(choice["method"])
        look, left = looks[name], x + part * index
        sized = cards[name].sized if name in cards else int(choice["size"]) > 1
        put(axes, Rectangle((left, y), part, height, facecolor=look.tint, edgecolor=INK, lw=0.7))
        wide = min(_BADGE, part)
        badge(axes, look, left, y, height, wide)
        text = str(choice["size"]) if sized else short(float(choice["num_params"]))
        if part >= wide + 0.08 * len(text) + 0.04:
            axes.text(left + wide + 0.04, y + height / 2, text, va="center_baseline", size=9,
                      weight="bold" if sized else "normal")  # fmt: skip


def _legend(axes: Axes, used: list[str], looks: dict[str, Style], per_row: int, top: float) -> None:
    for index, method in enumerate([*used, NONE]):
        x = _MARGIN + _ENTRY * (index % per_row)
        y = top - _ENTRY_ROW * (index // per_row)
        if method == NONE:
            hollow(axes, (x, y, _BADGE, 0.18))
        else:
            badge(axes, looks[method], x, y, 0.18, _BADGE)
        text = "empty" if method == NONE else name_text(method.replace("parallel_", "p. "), 11)
        axes.text(x + _BADGE + 0.05, y + 0.09, text, va="center", size=9)
