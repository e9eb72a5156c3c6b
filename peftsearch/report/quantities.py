"""What is asked of architectures to find patterns: one number for each architecture.

Place in the flow: searches, chance -> **quantities** -> patterns. A quantity is measured alike on
the architectures that were found and on those of a search that knows nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from peftsearch.catalogue import method_facts
from peftsearch.report.searches import THIRDS
from peftsearch.report.wording import label, percent

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Draws:
    """Architectures as one table.

    Attributes:
        rows: One row per active choice: draw (number from 0), site, stack, layer, third, part,
            method, size, num_params, modules (text).
        count: How many architectures there are, empty ones included.
    """

    rows: pd.DataFrame
    count: int

    def sums(self, where: pd.Series | None = None, weights: pd.Series | None = None) -> Array:
        """Return a sum over the rows of each architecture; without weights, their number."""
        keep = np.ones(len(self.rows)) if where is None else where.to_numpy(dtype=float)
        values = keep if weights is None else keep * weights.to_numpy(dtype=float)
        draw = self.rows["draw"].to_numpy(dtype=np.int64)
        return np.bincount(draw, weights=values, minlength=self.count).astype(np.float64)


@dataclass(frozen=True)
class Quantity:
    """One question.

    Attributes:
        topic: ``stack``, ``depth``, ``part``, ``method``, ``size`` or ``published``.
        name: What is measured, for tables.
        measure: Returns one number for each architecture; NaN where the question has no sense.
        text: A value in words.
        sentence: The finding, from mean, spread and number of seeds, all in words.
        versus: The comparison, from the value by chance in words; ``{way}`` is who knows nothing.
        between: Mean and standard deviation in words.
        source: The paper whose pattern is looked for; empty otherwise.
        expected: ``+`` if that paper says more than by chance, ``-`` for less.
    """

    topic: str
    name: str
    measure: Callable[[Draws], Array]
    text: Callable[[float], str]
    sentence: str
    versus: str = "{way} give it {chance}"
    between: Callable[[float, float], str] = lambda mean, sd: f"{percent(mean)} ± {100 * sd:.1f}"
    source: str = ""
    expected: str = ""


def share_of(
    where: Callable[[pd.DataFrame], pd.Series], of: Callable[[pd.DataFrame], pd.Series] | None
) -> Callable[[Draws], Array]:
    """Measure which share of the parameters of ``of`` (by default all) lies where asked."""

    def measure(draws: Draws) -> Array:
        rows = draws.rows
        whole = draws.sums(None if of is None else of(rows), rows["num_params"])
        inside = where(rows) if of is None else where(rows) & of(rows)
        return draws.sums(inside, rows["num_params"]) / np.where(whole > 0, whole, np.nan)

    return measure


def _is(column: str, value: str) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda rows: rows[column] == value


def shares(sites: pd.DataFrame, methods: list[str]) -> Iterator[Quantity]:
    """Yield the shares of the budget by stack, depth, part and method.

    Args:
        sites: Every site that can be chosen, with the columns stack, part and third.
        methods: Methods that the space offers.
    """

    def share(topic: str, name: str, column: str, value: str, to: str) -> Quantity:
        sentence = f"{{spread}} of the budget goes to {to} ({{n}} search seeds)"
        return Quantity(topic, name, share_of(_is(column, value), None), percent, sentence)

    stacks = list(dict.fromkeys(map(str, sites["stack"])))
    if len(stacks) > 1:
        # with two stacks the share of one is what the other leaves: one question, not two
        for stack in stacks[1:] if len(stacks) == 2 else stacks:
            yield share("stack", f"share of the {stack}", "stack", stack, f"the {stack}")
    for stack in stacks:
        for third in [t for t in THIRDS if t in set(sites.loc[sites["stack"] == stack, "third"])]:
            yield Quantity(
                "depth",
                f"share of the {third} layers in the {stack}'s budget",
                share_of(_is("third", third), _is("stack", stack)),
                percent,
                f"{{spread}} of the {stack}'s budget goes to its {third} layers "
                "({n} search seeds)",
            )
    parts = list(dict.fromkeys(map(str, sites["part"])))
    for part in parts if len(parts) > 1 else ():
        yield share("part", f"share of {label(part)}", "part", part, f"{label(part)} sites")
    for method in methods if len(methods) > 1 else ():
        yield share("method", f"share of {method}", "method", method, method)


def sizes(methods: list[str]) -> Iterator[Quantity]:
    """Yield how the size of each sized method changes with depth."""
    cards = method_facts()
    for method in methods:
        if method in cards and not cards[method].sized:
            continue
        yield Quantity(
            "size",
            f"size of {method} in late over early layers",
            _growth(method),
            lambda value: f"{2**value:.2g} times",
            f"{method} is {{mean}} as large in late layers as in early ones ({{between}}; {{n}} "
            "search seeds)",
            versus="with {way} it is {chance}",
            between=lambda mean, sd: f"{2 ** (mean - sd):.2g} to {2 ** (mean + sd):.2g}",
        )


def _growth(method: str) -> Callable[[Draws], Array]:
    """Measure the difference of the mean log2 size between the late and the early third."""

    def measure(draws: Draws) -> Array:
        rows = draws.rows
        logs = rows["size"].astype(float).clip(lower=1).map(math.log2)
        means = []
        for third in ("late", "early"):
            where = (rows["method"] == method) & (rows["third"] == third)
            number = draws.sums(where)
            means.append(draws.sums(where, logs) / np.where(number > 0, number, np.nan))
        return means[0] - means[1]

    return measure


def site_matrix(draws: Draws, sites: list[str]) -> npt.NDArray[np.bool_]:
    """Return which of these sites each architecture uses: (count, sites)."""
    rows = draws.rows[draws.rows["site"].isin(sites)]  # a uniform winner may use others
    place = {site: i for i, site in enumerate(sites)}
    used = np.zeros((draws.count, len(sites)), dtype=bool)
    used[rows["draw"].to_numpy(dtype=np.int64), [place[s] for s in rows["site"]]] = True
    return used
