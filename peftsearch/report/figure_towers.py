"""The layer assignment as towers: layers bottom to top, each with its sites.

Place in the flow: tables.layer_assignment -> **this figure**. Drawing only draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from peftsearch.architecture import NONE
from peftsearch.catalogue import method_facts
from peftsearch.report.canvas import blank, inches, name_text, put
from peftsearch.report.palette import FAINT, INK, PAPER, Style, styles
from peftsearch.report.tables import STACKS, ordered, records
from peftsearch.report.wording import NOTHING, label, short
from peftsearch.site import PARTS

# All lengths in inches.
_BADGE, _ROW, _PAD, _INSET = 0.34, 0.44, 0.07, 0.03
_LABEL, _TOTAL, _GAP, _MARGIN = 0.45, 0.6, 0.35, 0.15
_HEAD, _FOOT, _BETWEEN = 0.72, 0.5, 0.25
_ENTRY, _ENTRY_ROW = 1.55, 0.3
#: Side by side up to this width; above it the decoder stands on the encoder.
_WIDEST = 10.6
#: Height of the bar that says how sure a choice is.
_BAR = 0.04


@dataclass(frozen=True)
class _Tower:
    """Where one stack is drawn.

    Attributes:
        stack: Its name.
        left: Left edge.
        floor: Bottom edge of the lowest layer.
        columns: Part, left edge and width of a box, and how many boxes it holds.
        layers: The layers, bottom to top.
    """

    stack: str
    left: float
    floor: float
    columns: tuple[tuple[str, float, float, int], ...]
    layers: tuple[int, ...]

    @property
    def right(self) -> float:
        """Right edge of the layers."""
        _, left, width, most = self.columns[-1]
        return left + width * most + _PAD

    @property
    def top(self) -> float:
        """Top edge, heading included."""
        return self.floor + _ROW * len(self.layers) + _HEAD


def draw(table: pd.DataFrame, methods: list[str], sure: dict[str, float], means: str) -> Figure:
    """Draw the towers.

    Args:
        table: :func:`peftsearch.report.tables.layer_assignment`.
        methods: Methods in their fixed order, for the legend.
        sure: How sure the choice at each site is, in [0, 1]; drawn as a bar under its box.
        means: What that share counts, in words; empty where there is none.
    """
    used = [m for m in methods if m in set(table["method"])]
    entries = len(used) + 2
    towers = _place(table, 0.0, stacked=False)
    if towers[-1].right + _TOTAL + _MARGIN > _WIDEST:
        towers = _place(table, 0.0, stacked=True)
    width = max(5.2, max(t.right for t in towers) + _TOTAL + _MARGIN)
    per_row = max(1, min(entries, int((width - 2 * _MARGIN) // _ENTRY)))
    floor = _FOOT + _ENTRY_ROW * (-(-entries // per_row) + bool(means)) - 0.2
    figure = blank(width, floor + max(t.top for t in towers), constrained=False)
    axes = inches(figure)
    looks = styles([*methods, NONE])
    for tower in _place(table, floor, stacked=len({t.floor for t in towers}) > 1):
        _draw_tower(axes, tower, table[table["stack"] == tower.stack], looks, sure)
    if means:
        sure_bar(axes, _MARGIN, 0.24, _BADGE, 0.67)
        axes.text(_MARGIN + _BADGE + 0.07, 0.27, means, va="center_baseline", size=9)
    _legend(axes, used, looks, per_row, floor - 0.42)
    return figure


def sure_bar(axes: Axes, x: float, y: float, width: float, share: float) -> None:
    """Draw a share in [0, 1] as a bar that is filled from the left."""
    put(axes, Rectangle((x, y), width, _BAR, facecolor=PAPER, edgecolor=INK, lw=0.5, zorder=3))
    put(axes, Rectangle((x, y), width * share, _BAR, facecolor=INK, edgecolor="none", zorder=4))


def _place(table: pd.DataFrame, floor: float, *, stacked: bool) -> list[_Tower]:
    """Place the stacks side by side on one floor, or each upon the one before."""
    towers: list[_Tower] = []
    left = _MARGIN
    for stack in ordered(table["stack"], STACKS):
        rows = table[table["stack"] == stack]
        x = left + _LABEL
        columns = []
        for part in ordered(rows["part"], PARTS):
            most = int(rows[rows["part"] == part].groupby("site").size().max())
            box = 1.0 if most == 1 else 0.84
            columns.append((part, x + _PAD, box, most))
            x += box * most + _PAD
        layers = tuple(sorted(int(n) for n in rows["layer"].unique()))
        towers.append(_Tower(stack, left, floor, tuple(columns), layers))
        if stacked:
            floor = towers[-1].top + _BETWEEN
        else:
            left = towers[-1].right + _TOTAL + _GAP
    return towers


def _draw_tower(
    axes: Axes,
    tower: _Tower,
    rows: pd.DataFrame,
    looks: dict[str, Style],
    sure: dict[str, float],
) -> None:
    top = tower.floor + _ROW * len(tower.layers)
    start = tower.left + _LABEL
    axes.text(start, top + 0.42, name_text(tower.stack.capitalize()), weight="bold", size=12)
    axes.text(start - 0.08, top + 0.12, "layer", size=9, ha="right")
    for part, left, _, _ in tower.columns:
        axes.text(left, top + 0.12, name_text(label(part), 16), size=9)
    axes.text(tower.right + 0.1, top + 0.12, "params", size=9)
    for number, layer in enumerate(tower.layers):
        base = tower.floor + _ROW * number
        ground = FancyBboxPatch(
            (start, base + _INSET),
            tower.right - start,
            _ROW - 2 * _INSET,
            boxstyle="round,pad=0,rounding_size=0.07",
            facecolor="#eef1f4",
            edgecolor="none",
        )
        put(axes, ground)
        axes.text(start - 0.1, base + _ROW / 2, str(layer), ha="right", va="center_baseline")
        here = rows[rows["layer"] == layer]
        for part, left, box, most in tower.columns:
            choices = here[here["part"] == part]
            _draw_site(axes, choices, looks, (left, base, box, box * most))
            site = str(choices["site"].iloc[0]) if len(choices) else ""
            if site in sure:
                sure_bar(axes, left, base + 0.022, box * most - _INSET, sure[site])
        total = short(int(here["num_params"].sum()))
        axes.text(tower.right + 0.1, base + _ROW / 2, total, va="center_baseline", size=9)


def _draw_site(
    axes: Axes,
    choices: pd.DataFrame,
    looks: dict[str, Style],
    place: tuple[float, float, float, float],
) -> None:
    """Draw one site: its choices side by side, or a dashed box if it is empty."""
    left, base, box, width = place
    if choices.empty:
        return
    active = choices[choices["method"] != NONE]
    bottom, height = base + 0.065, _ROW - 0.13
    if active.empty:
        hollow(axes, (left, bottom, width - _INSET, height))
    cards = method_facts()
    for index, choice in enumerate(records(active)):
        name, params = str(choice["method"]), short(float(choice["num_params"]))
        sized = cards[name].sized if name in cards else int(choice["size"]) > 1
        frame = (left + index * box, bottom, box - _INSET, height)
        _draw_choice(axes, looks[name], frame, str(choice["size"]) if sized else "", params)


def hollow(axes: Axes, frame: tuple[float, float, float, float]) -> None:
    """Draw an empty site."""
    x, y, width, height = frame
    put(
        axes,
        Rectangle((x, y), width, height, facecolor=PAPER, edgecolor=FAINT, linestyle="--"),
    )
    axes.text(x + width / 2, y + height / 2, NOTHING, ha="center", va="center", color="#59626c")


def _draw_choice(
    axes: Axes, look: Style, frame: tuple[float, float, float, float], size: str, params: str
) -> None:
    """Draw one choice: badge, then the size in bold above the parameters."""
    x, y, width, height = frame
    put(axes, Rectangle((x, y), width, height, facecolor=look.tint, edgecolor="none"))
    badge(axes, look, x, y, height)
    put(axes, Rectangle((x, y), width, height, fill=False, edgecolor=INK, linewidth=0.8))
    text, middle = x + _BADGE + 0.06, y + height / 2
    if size:
        axes.text(text, middle + 0.08, size, va="center_baseline", size=9, weight="bold")
        axes.text(text, middle - 0.07, params, va="center_baseline", size=9)
    else:
        axes.text(text, middle, params, va="center_baseline", size=9)


def badge(
    axes: Axes, look: Style, x: float, y: float, height: float, width: float = _BADGE
) -> None:
    """Hue and hatch with the letter on a plain ground, so that it reads on any hatch."""
    ground = Rectangle(
        (x, y), width, height, facecolor=look.colour, edgecolor=INK, hatch=look.hatch, lw=0.8
    )
    put(axes, ground)
    plate = {"boxstyle": "round,pad=0.12", "facecolor": PAPER, "edgecolor": "none"}
    axes.text(
        x + width / 2,
        y + height / 2,
        look.letter,
        ha="center",
        va="center",
        weight="bold",
        size=9.5,
        bbox=plate,
    )


def _legend(axes: Axes, used: list[str], looks: dict[str, Style], per_row: int, y: float) -> None:
    """Name the methods, the empty site, and how a box is read."""
    for index, method in enumerate([*used, NONE, ""]):
        x = _MARGIN + _ENTRY * (index % per_row)
        base = y - _ENTRY_ROW * (index // per_row)
        text = name_text(method.replace("_", " "), 18)
        if method == NONE:
            hollow(axes, (x, base, _BADGE, 0.22))
            text = "empty site"
        elif method:
            badge(axes, looks[method], x, base, 0.22)
        else:
            axes.text(x, base + 0.11, "8", va="center", size=9, weight="bold")
            axes.text(x + 0.11, base + 0.11, "size, then parameters", va="center", size=9)
            continue
        axes.text(x + _BADGE + 0.07, base + 0.11, text, va="center", size=9)
