"""Patterns: what several searches have in common, and no search that knows nothing has.

Place in the flow: searches, chance, quantities -> **patterns** -> html. A pattern is a sentence
made by a rule. It is said only where both hold:

1. the mean over the search seeds differs from chance by more than their standard deviation;
2. so large a difference is unlikely by chance: the same mean over as many architectures of a
   search that knows nothing, with Holm's correction over all questions of a run (Holm 1979), so
   that a run in which there is nothing yields any sentence at all in at most 5 of 100 cases.

With one search seed neither can be known, and nothing is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import stdtr

from peftsearch.architecture import NONE
from peftsearch.report import chance
from peftsearch.report.published import published
from peftsearch.report.quantities import Draws, Quantity, shares, site_matrix, sizes
from peftsearch.report.searches import number, with_depth
from peftsearch.report.wording import listed

Array = npt.NDArray[np.float64]

COLUMNS = (
    "topic", "name", "mean", "sd", "n", "chance", "way", "p", "adjusted", "holds", "sentence",
)  # fmt: skip
#: How sure a report must be of all its patterns together.
LEVEL = 0.05
_DRAWS, _GROUPS = 1500, 20_000


@dataclass(frozen=True)
class Chance:
    """Architectures of a search that knows nothing, by way of knowing nothing.

    Attributes:
        draws: The architectures.
        known: What was measured on them before.
    """

    draws: dict[str, Draws]
    known: dict[tuple[str, str], Array] = field(default_factory=dict)

    def measure(self, quantity: Quantity, way: str) -> Array:
        """Return the values of a quantity, without those architectures that have none."""
        key = quantity.name, way
        if key not in self.known:
            values = quantity.measure(self.draws[way])
            self.known[key] = values[np.isfinite(values)]
        return self.known[key]


def by_chance(candidates: pd.DataFrame, sites: pd.DataFrame, limit: int) -> Chance:
    """Draw the architectures that patterns are compared with.

    Args:
        candidates: One row per candidate of each gate (:class:`peftsearch.report.collect.RunData`).
        sites: One row per site.
        limit: The budget in parameters.
    """
    placed = with_depth(candidates.reset_index(drop=True), sites)
    found = {}
    for way, picks in chance.draws(candidates, limit, _DRAWS).items():
        rows = placed.iloc[picks.ravel()].assign(draw=np.repeat(np.arange(_DRAWS), picks.shape[1]))
        found[way] = Draws(rows[rows["method"] != NONE].reset_index(drop=True), _DRAWS)
    return Chance(found)


def patterns(
    searches: pd.DataFrame,
    candidates: pd.DataFrame,
    sites: pd.DataFrame,
    compared: Chance | None,
    prices: Sequence[float] = (),
) -> pd.DataFrame:
    """Return everything that was asked, with its answer.

    Args:
        searches: The choices of every search seed, with the column search.
        candidates: What the space offers.
        sites: One row per site.
        compared: What chance gives; ``None`` with one search seed.
        prices: The price at the end of each search, in nats per parameter.

    Returns:
        One row per question: topic, name, mean and sd over n search seeds, chance and way (who
        knows nothing), p, adjusted (p after Holm), holds, sentence (empty unless it holds).
    """
    if searches.empty or candidates.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    found = _drawn(searches, sites)
    offered = with_depth(candidates[candidates["method"] != NONE], sites)
    methods = list(dict.fromkeys(map(str, offered["method"])))
    placed = with_depth(sites[sites["site"].isin(offered["site"])], sites)
    asked = [*shares(placed, methods), *sizes(methods), *published(offered)]
    rows = [row for quantity in asked if (row := _answer(quantity, found, compared))]
    if compared is not None:
        rows += _in_common(found, compared, list(map(str, placed["site"])))
    rows += _price(prices)
    return _decide(pd.DataFrame(rows, columns=list(COLUMNS)))


def _drawn(searches: pd.DataFrame, sites: pd.DataFrame) -> Draws:
    """Return the found architectures, numbered from 0."""
    places = {seed: i for i, seed in enumerate(sorted(searches["search"].unique()))}
    active = searches[searches["method"] != NONE]
    active = active.assign(draw=[places[seed] for seed in active["search"]])
    return Draws(with_depth(active, sites).reset_index(drop=True), number(searches))


def _answer(quantity: Quantity, found: Draws, compared: Chance | None) -> dict[str, object] | None:
    """Measure one quantity and compare it; ``None`` where it has no value for some seed."""
    values = quantity.measure(found)
    if not np.isfinite(values).all():
        return None
    mean, n = float(values.mean()), len(values)
    sd = float(values.std(ddof=1)) if n > 1 else float("nan")
    row: dict[str, object] = {
        "topic": quantity.topic, "name": quantity.name, "mean": mean, "sd": sd, "n": n,
    }  # fmt: skip
    if compared is None:
        return row
    likely = None
    for way in compared.draws:
        drawn = compared.measure(quantity, way)
        if len(drawn) < _DRAWS // 10:
            return None  # chance has hardly ever an answer to this question
        means = np.random.default_rng(0).choice(drawn, (_GROUPS, n)).mean(axis=1)
        compare = (_p_value(means, mean, float(drawn.mean())), way, float(drawn.mean()))
        likely = compare if likely is None or compare[0] > likely[0] else likely
    assert likely is not None
    p, way, middle = likely
    return {
        **row,
        "p": p,
        "way": way,
        "chance": middle,
        "sentence": _say(quantity, row, way, middle),
    }


def _p_value(means: Array, mean: float, middle: float) -> float:
    """Return how often chance is as far from its own middle, to either side."""
    far = np.abs(means - middle) >= abs(mean - middle) - 1e-12
    return float((1 + far.sum()) / (1 + len(means)))


def _say(quantity: Quantity, row: dict[str, object], way: str, middle: float) -> str:
    mean, sd = float(str(row["mean"])), float(str(row["sd"]))
    words = {"way": chance.WAYS[way], "chance": quantity.text(middle)}
    text = quantity.sentence.format(
        mean=quantity.text(mean),
        spread=quantity.between(mean, sd),
        between=quantity.between(mean, sd),
        n=row["n"],
    )
    text = f"{text}; {quantity.versus.format(**words)}."
    if not quantity.source:
        return text[0].upper() + text[1:]
    agrees = (mean > middle) == (quantity.expected == "+")
    return f"{'As' if agrees else 'Unlike'} in {quantity.source}: {text}"


def _in_common(found: Draws, compared: Chance, sites: list[str]) -> list[dict[str, object]]:
    """Count the sites that every search uses, and those that none does."""
    used = site_matrix(found, sites)
    rng = np.random.default_rng(1)
    groups = rng.integers(_DRAWS, size=(_GROUPS // 10, found.count))
    by_way = {way: site_matrix(draws, sites)[groups] for way, draws in compared.draws.items()}
    rows = []
    for name, verb, here, drawn in (
        (
            "always",
            "used",
            np.asarray(used.all(axis=0)),
            {w: m.all(axis=1) for w, m in by_way.items()},
        ),
        (
            "never",
            "left empty",
            np.asarray(~used.any(axis=0)),
            {w: ~m.any(axis=1) for w, m in by_way.items()},
        ),
    ):
        mean, best = float(here.sum()), (-1.0, "", 0.0)
        for way, matrix in drawn.items():
            counts = matrix.sum(axis=1).astype(float)
            compare = (_p_value(counts, mean, float(counts.mean())), way, float(counts.mean()))
            best = max(best, compare)
        named = [site for site, there in zip(sites, here, strict=True) if there]
        text = (
            f"{int(mean)} of {len(sites)} sites are {verb} by all {found.count} search seeds "
            f"({listed(named, 6) or 'none'}); {chance.WAYS[best[1]]} have "
            f"{best[2]:.1f} of them in common."
        )
        rows.append(
            {
                "topic": "sites", "name": f"sites {name} chosen", "mean": mean, "sd": 0.0,
                "n": found.count, "p": best[0], "way": best[1], "chance": best[2], "sentence": text,
            }
        )  # fmt: skip
    return rows


def _price(prices: Sequence[float]) -> list[dict[str, object]]:
    """Say what one more parameter would bring; compared with nothing at all, by a t-test."""
    n = len(prices)
    if not n:
        return []
    mean = float(np.mean(prices))
    sd = float(np.std(prices, ddof=1)) if n > 1 else float("nan")
    row: dict[str, object] = {
        "topic": "price", "name": "price of one parameter (nats)", "mean": mean, "sd": sd, "n": n,
    }  # fmt: skip
    if n < 2:
        return [row]
    error = sd / np.sqrt(n)
    p = 2 * float(stdtr(n - 1, -abs(mean) / error)) if error else float(mean == 0)
    text = (
        f"By its price, one more parameter would lower the loss by {mean:.2g} ± {sd:.1g} nats "
        f"({n} search seeds); 0 where the budget does not bind."
    )
    return [{**row, "p": p, "way": "", "chance": 0.0, "sentence": text}]


def _decide(rows: pd.DataFrame) -> pd.DataFrame:
    """Apply Holm's correction, and keep the sentences that hold."""
    p = pd.to_numeric(rows["p"])
    order = p.dropna().sort_values(kind="stable").index
    factors = np.arange(len(order), 0, -1)
    adjusted = np.minimum(1.0, np.maximum.accumulate(p[order].to_numpy() * factors))
    rows["adjusted"] = pd.Series(adjusted, index=order).reindex(rows.index)
    apart = (rows["mean"].astype(float) - rows["chance"].astype(float)).abs() > rows["sd"].fillna(0)
    rows["holds"] = (rows["adjusted"] <= LEVEL) & apart & (rows["n"] > 1)
    rows["sentence"] = rows["sentence"].where(rows["holds"], "")
    return rows
