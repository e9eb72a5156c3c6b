"""The gates over the search: sizes by method, and scores by layer and method.

Place in the flow: gate_tables -> **these figures**.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from peftsearch.report.canvas import blank, name_text
from peftsearch.report.palette import styles
from peftsearch.report.tables import STACKS, ordered
from peftsearch.report.wording import label
from peftsearch.site import PARTS


def draw_sizes(table: pd.DataFrame, methods: list[str]) -> Figure:
    """Draw the mean size of each method over the search, one panel per stack and part.

    Args:
        table: :func:`peftsearch.report.gate_tables.size_trajectories`.
        methods: Methods in their fixed order.
    """
    stacks, parts = ordered(table["stack"], STACKS), ordered(table["part"], PARTS)
    shown = [m for m in methods if m in set(table["method"])]
    looks = styles(shown)
    lowest, highest = np.log2(table["size"].min()), np.log2(table["size"].max())
    powers = np.arange(np.floor(lowest), max(np.ceil(highest), np.floor(lowest) + 1) + 1)
    figure = blank(max(4.4, 0.5 + 2.15 * len(parts)), 0.9 + 1.85 * len(stacks))
    grid = figure.subplots(len(stacks), len(parts), sharex=True, sharey=True, squeeze=False)
    for row, stack in enumerate(stacks):
        for column, part in enumerate(parts):
            axes = grid[row][column]
            here = table[(table["stack"] == stack) & (table["part"] == part)]
            if here.empty:
                axes.set_axis_off()
                continue
            axes.set_title(name_text(f"{stack}, {label(part)}", 30), size=9)
            for method in shown:
                line = here[here["method"] == method].sort_values("step")
                axes.plot(line["step"], line["size"], color=looks[method].colour,
                          linestyle=looks[method].line, lw=1.6)  # fmt: skip
            axes.set_yscale("log", base=2)
            axes.set_ylim(2 ** (powers[0] - 0.1), 2 ** (powers[-1] + 0.1))
            axes.set_yticks(2.0 ** powers[:: -(-len(powers) // 5)])
            axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
            axes.minorticks_off()
            axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
            axes.grid(visible=True)
            if row == len(stacks) - 1:
                axes.set_xlabel("search step")
        grid[row][0].set_ylabel("mean size if on")
    handles = [
        Line2D([], [], color=looks[m].colour, linestyle=looks[m].line, lw=1.6,
               label=f"{looks[m].letter}  {name_text(label(m), 18)}")
        for m in shown
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def draw_scores(table: pd.DataFrame, methods: list[str]) -> Figure:
    """Draw layers over search steps, one panel per stack and method, on one scale.

    Args:
        table: :func:`peftsearch.report.gate_tables.gate_scores`.
        methods: Methods in their fixed order.
    """
    stacks = ordered(table["stack"], STACKS)
    shown = [m for m in methods if m in set(table["method"])]
    looks = styles(shown)
    most = [table.loc[table["stack"] == s, "layer"].nunique() for s in stacks]
    heights = [max(1.0, 0.13 * n + 0.3) for n in most]
    figure = blank(max(4.4, 1.4 + 1.3 * len(shown)), 1.1 + sum(heights))
    grid = figure.subplots(len(stacks), len(shown), squeeze=False, sharex=True,
                           height_ratios=heights)  # fmt: skip
    top = max(float(table["score"].max()), 1e-9)
    mesh = None
    for row, stack in enumerate(stacks):
        for column, method in enumerate(shown):
            axes = grid[row][column]
            here = table[(table["stack"] == stack) & (table["method"] == method)]
            if row == 0:
                name = f"{looks[method].letter} {name_text(label(method), 9)}"
                axes.set_title(name, size=9)
            if here.empty:
                axes.set_axis_off()
                continue
            wide = here.pivot_table(index="layer", columns="step", values="score")
            layers = wide.index.to_numpy(dtype=float)
            edges = _edges(wide.columns.to_numpy(dtype=float))
            mesh = axes.pcolormesh(edges, np.arange(len(layers) + 1) - 0.5, wide.to_numpy(),
                                   cmap="cividis", vmin=0, vmax=top, rasterized=True)  # fmt: skip
            places = sorted({0, len(layers) // 2, len(layers) - 1})
            axes.set_yticks(places, [f"{layers[i]:g}" for i in places])
            axes.xaxis.set_major_locator(MaxNLocator(2, integer=True))
            if row == len(stacks) - 1:
                axes.set_xlabel("step")
        grid[row][0].set_ylabel(f"{name_text(stack, 12)}\nlayer")
    if mesh is not None:
        bar = figure.colorbar(mesh, ax=list(grid.ravel()), shrink=0.9, aspect=24, pad=0.01)
        bar.set_label("probability of the method")
    return figure


def _edges(steps: np.ndarray) -> np.ndarray:
    """Return where the cell of each logged step begins and ends."""
    if len(steps) == 1:
        return np.array([steps[0] - 0.5, steps[0] + 0.5])
    middle = (steps[1:] + steps[:-1]) / 2
    return np.concatenate([[steps[0]], middle, [steps[-1]]])
