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
    figure_column,
    figure_gates,
    figure_scores,
    figure_search,
    figure_shares,
    figure_towers,
    figure_values,
    findings,
    gate_tables,
    share_tables,
    tables,
    value_tables,
)
from peftsearch.report.collect import RunData
from peftsearch.report.searches import overlaps


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
        svg: The same as vectors, for papers.
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


_PLANS = (
    _Plan(
        "layer-assignment",
        "What each layer got",
        "Layers from bottom to top. A filled box is a choice: letter and hue name the method, "
        "then come its size (rank, bottleneck or length, where it has one) and its trained "
        "parameters. A dashed box is a site that was left empty. On the right, the layer's sum. A "
        "bar under a box, where there is one, says how sure the choice is.",
        tables.layer_assignment,
        lambda data, table: figure_towers.draw(table, *_towers(data)),
        lambda data, table: findings.assignment(table),
    ),
    _Plan(
        "layer-assignment-column",
        "What each layer got, one column wide",
        "The same for a column of a paper.",
        tables.layer_assignment,
        lambda data, table: figure_column.draw(table, *_towers(data)),
        lambda data, table: findings.assignment(table),
    ),
    _Plan(
        "budget-shares",
        "Budget by stack, part and method",
        "Share of the trained parameters of the found architecture. With several search seeds: "
        "the black line goes from the least to the most over the seeds; the grey band is the "
        "mean of searches that know nothing (a budget filled at random, and random values), in "
        "the same space and budget.",
        share_tables.budget_shares,
        lambda data, table: figure_shares.draw_shares(table, tables.method_names(data)),
        lambda data, table: findings.shares(table),
    ),
    _Plan(
        "agreement",
        "What every search seed chose",
        "One cell for each search seed, named above; letter and hue are the method, a dashed cell "
        "is an empty site. Rows that look alike from cell to cell are choices to rely on.",
        share_tables.site_choices,
        lambda data, table: figure_shares.draw_agreement(table, tables.method_names(data)),
        lambda data, table: findings.agreement(table, data),
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
        "score-by-parameters",
        "Score against parameters",
        "Test score over trained parameters. Thick: one standard deviation to each side. Thin: "
        "the interval of 95 % of the mean by Student's t, wide at few seeds. The score axis does "
        "not start at 0.",
        value_tables.score_intervals,
        lambda data, table: figure_values.draw_by_parameters(
            table, data.facts.metric, data.facts.limit
        ),
        lambda data, table: findings.by_parameters(table, data.facts.metric),
    ),
    _Plan(
        "values",
        "Search value against real score",
        "What the search thought an architecture is worth, in standard deviations of the "
        "supernet's loss, against what trainings say. Left the short trainings of the race, right "
        "those over all seeds (± sd). τ: Kendall's rank correlation; 1 is the same order, 0 no "
        "relation. Architectures that are not of the space have no value and are left out.",
        value_tables.search_values,
        lambda data, table: figure_values.draw_values(
            table, data.facts.metric, data.facts.higher_is_better
        ),
        lambda data, table: findings.values(table, data.facts.higher_is_better),
    ),
    _Plan(
        "front",
        "The best at every budget, by one search",
        "Every point of the dashed line is the exact solution of the knapsack at its budget under "
        "the values of this one search: an estimate, not a training. Gain: by how much the "
        "supernet's loss would fall against no method at all if the values simply add up; above "
        "the limit they were never measured. Filled marks are architectures that were retrained.",
        value_tables.front,
        lambda data, table: figure_values.draw_front(table, data.facts.limit),
        lambda data, table: findings.front(table, data.facts.limit),
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
        "sizes",
        "Size trajectories",
        "Mean size of each method over the search, weighted by probability: the size it would "
        "have if it were on. Sizes are ranks, bottlenecks or lengths; the axis is logarithmic.",
        gate_tables.size_trajectories,
        lambda data, table: figure_gates.draw_sizes(table, tables.method_names(data)),
        lambda data, table: findings.sizes(table),
    ),
    _Plan(
        "gate-scores",
        "Gate scores by layer",
        "Probability that each method is on in each layer over the search, averaged over the "
        "layer's sites that offer it. The gates do not depend on the input: there is one score "
        "for all classes.",
        gate_tables.gate_scores,
        lambda data, table: figure_gates.draw_scores(
            gate_tables.logged_steps(table), tables.method_names(data)
        ),
        lambda data, table: findings.gate_scores(table),
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


def _towers(data: RunData) -> tuple[list[str], dict[str, float], str]:
    """Methods, and how sure the choice at each site is, with what that means."""
    table = share_tables.confidence(data)
    sure = dict(zip(table["site"].map(str), table["share"].map(float), strict=True))
    return tables.method_names(data), sure, share_tables.confidence_means(data)


def draw_all(data: RunData, *, pixels: bool = True, vectors: bool = True) -> dict[str, Drawing]:
    """Draw every figure that has data, by name; what is not asked for stays empty."""
    drawings = {}
    with canvas.settings():
        for plan in _PLANS:
            table = plan.table(data)
            if table.empty or (plan.name == "scores" and table["mean"].isna().all()):
                continue
            figure = plan.draw(data, table) if pixels or vectors else Figure()
            image = canvas.png(figure) if pixels else b""
            width, height = (round(96 * side) for side in figure.get_size_inches())
            drawings[plan.name] = Drawing(
                plan.name, plan.title, plan.alt(data, table), plan.caption, table,
                image, canvas.svg(figure) if vectors else b"", width, height,
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
    "patterns": lambda data: data.patterns,
    "overlaps": lambda data: overlaps(data.searches),
    "certainty": share_tables.confidence,
    "cost": tables.cost,
    "exports": lambda data: data.exports,
    "export-problems": lambda data: data.problems,
}
