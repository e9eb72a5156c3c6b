"""The figures of the report: which there are, from which table, with which words.

Place in the flow: tables, findings -> **figures** -> html. A figure whose table is empty is
left out; the report says what is missing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from peftsearch.report import (
    canvas,
    figure_budget,
    figure_scores,
    figure_search,
    figure_towers,
    findings,
    tables,
)
from peftsearch.report.collect import RunData


@dataclass(frozen=True)
class Drawing:
    """One figure, ready to be written.

    Attributes:
        name: File name without extension.
        title: Heading in the report.
        alt: The finding, in words, from the same table.
        caption: How to read it.
        table: The numbers drawn.
        png: The image at 150 dpi.
        svg: The same as vectors, for papers; empty where only the PNG is written.
        width: Natural width in CSS pixels.
        height: Natural height in CSS pixels.
    """

    name: str
    title: str
    alt: str
    caption: str
    table: pd.DataFrame
    png: bytes
    svg: bytes
    width: int
    height: int


@dataclass(frozen=True)
class _Plan:
    name: str
    title: str
    caption: str
    table: Callable[[RunData], pd.DataFrame]
    draw: Callable[[RunData, pd.DataFrame], Figure]
    alt: Callable[[RunData, pd.DataFrame], str]
    vectors: bool = False


_PLANS = (
    _Plan(
        "layer-assignment",
        "What each layer got",
        "Layers from bottom to top. A filled box is a choice: letter and hue name the method, "
        "then come its size (rank, bottleneck or length, where it has one) and its trained "
        "parameters. A dashed box is a site that was left empty. On the right, the layer's sum.",
        tables.layer_assignment,
        lambda data, table: figure_towers.draw(table, tables.method_names(data)),
        lambda data, table: findings.assignment(table),
        vectors=True,
    ),
    _Plan(
        "heatmap",
        "Sites by methods",
        "Trained parameters of each choice, on one scale for all panels. Hatched: the space "
        "offered the method there and it was not chosen. Grey: not offered.",
        tables.heatmap,
        lambda data, table: figure_budget.draw_heatmap(table, tables.method_names(data)),
        lambda data, table: findings.heatmap(table),
    ),
    _Plan(
        "budget-by-layer",
        "Budget by layer",
        "Trained parameters of each layer, bottom to top, stacked by method; all panels share "
        "one scale.",
        tables.budget_by_layer,
        lambda data, table: figure_budget.draw_layers(table, tables.method_names(data)),
        lambda data, table: findings.layers(table),
    ),
    _Plan(
        "scores",
        "Score against the baselines",
        "Test score of the found architecture and of every baseline at the same budget, trained "
        "with the same recipe. Diamonds: mean over seeds, with one standard deviation to each "
        "side; small circles: single seeds.",
        tables.scores,
        lambda data, table: figure_scores.draw(table, data.values, data.facts.metric),
        lambda data, table: findings.scores(table, data),
    ),
    _Plan(
        "measured",
        "Architectures scored on the supernet",
        "Architectures sampled within the budget and scored on search-valid with the supernet's "
        "shared weights, before any training of their own. Dotted: the median. The score axis "
        "does not start at 0.",
        lambda data: data.measured.dropna(subset=["num_params", "score"]),
        lambda data, table: figure_search.draw_measured(table, data.facts.metric, data.facts.limit),
        lambda data, table: findings.measured(table, data.facts.metric),
    ),
    _Plan(
        "gates",
        "Gate trajectories",
        "Probability that a method is on at a site, with the price included, averaged over the "
        "sites of each stack and part; the sizes of a method are added up.",
        tables.gate_trajectories,
        lambda data, table: figure_search.draw_gates(table, tables.method_names(data)),
        lambda data, table: findings.gates(table),
    ),
    _Plan(
        "price",
        "Losses, expected cost and price",
        "The price is what one parameter costs the loss; it rises until the expected cost meets "
        "the target. The final choice itself never exceeds the limit.",
        tables.search_progress,
        lambda data, table: figure_search.draw_price(table),
        lambda data, table: findings.price(table),
    ),
)


def draw_all(data: RunData) -> dict[str, Drawing]:
    """Draw every figure that has data, by name."""
    drawings = {}
    with canvas.settings():
        for plan in _PLANS:
            table = plan.table(data)
            if table.empty or (plan.name == "scores" and table["mean"].isna().all()):
                continue
            figure = plan.draw(data, table)
            image = canvas.png(figure)
            vectors = canvas.svg(figure) if plan.vectors else b""
            width, height = (round(96 * side) for side in figure.get_size_inches())
            drawings[plan.name] = Drawing(
                plan.name, plan.title, plan.alt(data, table), plan.caption, table,
                image, vectors, width, height,
            )  # fmt: skip
    return drawings


def all_names() -> list[str]:
    """Names of every figure a report can hold."""
    return [plan.name for plan in _PLANS]


TABLES: dict[str, Callable[[RunData], pd.DataFrame]] = {
    "budget-by-stack": functools.partial(tables.budget_by, key="stack"),
    "budget-by-part": functools.partial(tables.budget_by, key="part"),
    "budget-by-method": functools.partial(tables.budget_by, key="method"),
    "gates-at-end": tables.gates_at_end,
    "score-values": lambda data: data.values,
    "race": tables.race,
    "cost": tables.cost,
    "exports": lambda data: data.exports,
    "export-problems": lambda data: data.problems,
}
