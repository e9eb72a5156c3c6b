"""The figures of a study: what its trials scored, and which keys mattered.

Drawing only: every number is in ``trials.csv`` or in the table beside the figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from peftsearch.report.canvas import blank, name_text
from peftsearch.report.palette import FAINT, INK, LIMIT
from peftsearch.tune.results import Row, front_of

_BLUE = "#0072B2"


def draw_history(rows: Sequence[Row]) -> Figure:
    """Draw the score of every trial by number, and the best so far."""
    figure = blank(7.2, 3.4)
    axes = figure.subplots()
    marks = {"complete": ("o", _BLUE), "pruned": ("x", FAINT)}
    for state, (mark, colour) in marks.items():
        some = [r for r in rows if r.state == state and r.score is not None]
        axes.plot([r.number for r in some], [r.score for r in some if r.score is not None],
                  mark, color=colour, markersize=5.5, label=state)  # fmt: skip
    best: list[tuple[int, float]] = []
    for row in rows:
        if row.state == "complete" and row.score is not None:
            best.append((row.number, max(row.score, best[-1][1] if best else row.score)))
    axes.step(*zip(*best, strict=True), where="post", color=LIMIT, lw=1.6, label="best so far")
    failed = [r.number for r in rows if r.state == "failed"]
    for number in failed:
        axes.axvline(number, color=INK, lw=0.8, ls=":")
    axes.plot([], [], color=INK, lw=0.8, ls=":", label="failed")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial")
    axes.set_ylabel("score on the selection split")
    axes.grid(visible=True, axis="y")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


def draw_importance(shares: Mapping[str, float]) -> Figure:
    """Draw the share of the score's variance that each key explains, largest first."""
    figure = blank(7.2, 1.0 + 0.34 * len(shares))
    axes = figure.subplots()
    names = list(shares)[::-1]
    axes.barh(range(len(names)), [shares[name] for name in names], color=_BLUE)
    axes.set_yticks(range(len(names)), [name_text(name, 34) for name in names])
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the variance of scores")
    axes.grid(visible=True, axis="x")
    return figure


def draw_front(rows: Sequence[Row]) -> Figure:
    """Draw score against parameters, and the trials than which none is better in both."""
    figure = blank(7.2, 3.6)
    axes = figure.subplots()
    some = [r for r in rows if r.state == "complete" and r.score is not None]
    front = front_of(rows)
    for marks, colour, line, label in (
        (some, FAINT, "", "trials"),
        (front, LIMIT, "-", "front"),
    ):
        axes.plot([float(r.num_params or 0) for r in marks], [float(r.score or 0) for r in marks],
                  "o", ls=line, color=colour, markersize=6, label=label)  # fmt: skip
    axes.set_xlabel("parameters")
    axes.set_ylabel("score on the selection split")
    axes.grid(visible=True)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure
