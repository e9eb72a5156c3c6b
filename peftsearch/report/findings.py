"""Sentences that state what a figure shows, computed from its table.

Place in the flow: tables -> **findings** -> html (alt texts, captions, first lines). A sentence
never claims more than its table holds.
"""

from __future__ import annotations

import pandas as pd

from peftsearch.architecture import NONE
from peftsearch.report import tables
from peftsearch.report.collect import RunData
from peftsearch.report.facts import Facts
from peftsearch.report.outcome import FOUND
from peftsearch.report.searches import number, overlaps
from peftsearch.report.value_tables import rank_agreement
from peftsearch.report.wording import (
    count,
    difference,
    label,
    percent,
    plural,
    score,
    short,
    spread,
)


def assignment(table: pd.DataFrame) -> str:
    """State how many sites each stack uses, and with what."""
    parts = []
    for stack in tables.ordered(table["stack"], tables.STACKS):
        rows = table[table["stack"] == stack]
        active = rows[rows["method"] != NONE]
        used, there = active["site"].nunique(), rows["site"].nunique()
        numbers = active["method"].value_counts()
        names = ", ".join(f"{name} {n}" for name, n in numbers.items())
        parts.append(
            f"{stack.capitalize()}: {used} of {plural(there, 'site')} used"
            + (f" ({names})" * bool(names))
        )
    return f"{'; '.join(parts)}. {_largest(table)}"


def _largest(table: pd.DataFrame) -> str:
    active = table[table["method"] != NONE]
    if active.empty:
        return "Nothing was chosen anywhere."
    top = active.iloc[int(active["num_params"].to_numpy().argmax())]
    share = float(top["num_params"]) / max(1, int(active["num_params"].sum()))
    return (
        f"The largest choice is {top['method']} at {top['site']} "
        f"with {count(float(top['num_params']))} parameters ({percent(share)} of all)."
    )


def heatmap(table: pd.DataFrame) -> str:
    """State which method holds most of the parameters, and how full the map is."""
    used = table[table["num_params"] > 0]
    offered = int(table["offered"].sum())
    if used.empty:
        return f"None of {offered} offered pairs of site and method was chosen."
    sums = used.groupby("method")["num_params"].sum().sort_values(ascending=False)
    share = float(sums.iloc[0]) / float(sums.sum())
    return (
        f"{len(used)} of {offered} offered pairs of site and method were chosen; "
        f"{sums.index[0]} holds {percent(share)} of the parameters."
    )


def layers(table: pd.DataFrame) -> str:
    """State which layer holds most, and each stack's share."""
    total = int(table["num_params"].sum())
    if not total:
        return "No layer holds any trained parameter."
    by_layer = table.groupby(["stack", "layer"])["num_params"].sum().sort_values(ascending=False)
    stack, layer = by_layer.index[0]
    by_stack = table.groupby("stack")["num_params"].sum()
    shares = ", ".join(
        f"{name} {percent(float(by_stack[name]) / total)}"
        for name in tables.ordered(table["stack"], tables.STACKS)
    )
    return (
        f"Layer {layer} of the {stack} holds most, {percent(float(by_layer.iloc[0]) / total)} "
        f"of the parameters. By stack: {shares}."
    )


def gates(table: pd.DataFrame) -> str:
    """State the most probable method of each panel at the last logged step."""
    last = table[table["step"] == table["step"].max()]
    parts = []
    for stack in tables.ordered(last["stack"], tables.STACKS):
        for part, rows in last[last["stack"] == stack].groupby("part", sort=False):
            top = rows.iloc[int(rows["probability"].to_numpy().argmax())]
            name = label(part)
            parts.append(f"{stack} {name}: {top['method']} {top['probability']:.2f}")
    return f"Most probable at step {int(table['step'].max())}: {'; '.join(parts)}."


def price(table: pd.DataFrame) -> str:
    """State where the price and the expected cost ended."""
    last = table.iloc[-1]
    share = float(last["expected_cost"]) / float(last["limit"]) if last["limit"] else float("nan")
    return (
        f"At step {int(last['step'])} the price is {float(last['price']):.3g} nats per parameter "
        f"and the expected cost {short(float(last['expected_cost']))} parameters, "
        f"{percent(share)} of the limit."
    )


def measured(table: pd.DataFrame, metric: str) -> str:
    """State the range of the scores on the supernet."""
    scores = table["score"].astype(float)
    return (
        f"{plural(len(table), 'architecture')} near the budget scored with the supernet's weights "
        f"from {score(scores.min(), metric)} to {score(scores.max(), metric)}, "
        f"median {score(scores.median(), metric)}."
    )


def pattern_sentences(data: RunData) -> list[str]:
    """Return the patterns that hold, as sentences."""
    table = data.patterns
    return [str(text) for text in table.loc[table["holds"].astype(bool), "sentence"]]


def no_patterns(data: RunData) -> str:
    """Say why no pattern is stated."""
    seeds = number(data.searches)
    if seeds < 2:
        return (
            "There is one search seed: what one search has found may be chance. A pattern needs "
            "the architectures of several search seeds."
        )
    return (
        f"None of {plural(len(data.patterns), 'question')} has an answer over {seeds} search "
        "seeds that differs from chance by more than the seeds differ, with 95 % certainty for "
        "all questions together."
    )


def shares(table: pd.DataFrame) -> str:
    """State what gets most of each kind."""
    parts = []
    for kind, rows in table.groupby("kind", sort=False):
        top = rows.iloc[int(rows["share"].to_numpy(dtype=float).argmax())]
        name = label(top["name"]) if kind == "part" else top["name"]
        parts.append(f"{name} ({percent(float(top['share']))})")
    return f"Most of the found parameters by stack, part and method: {', '.join(parts)}."


def agreement(table: pd.DataFrame, data: RunData) -> str:
    """State at how many sites all searches agree, and how alike they are in pairs."""
    methods = table.groupby(["search", "site"])["method"].agg(frozenset).unstack("search")
    alike = int((methods.nunique(axis=1) == 1).sum())
    pairs = overlaps(data.searches)["overlap"]
    return (
        f"{plural(int(table['search'].nunique()), 'search seed')} chose the same methods at "
        f"{alike} of {len(methods)} sites; two of them spend {percent(float(pairs.mean()))} of "
        "their parameters alike on average."
    )


def by_parameters(table: pd.DataFrame, metric: str) -> str:
    """State the ranges of parameters and scores."""
    low, high = table["num_params"].min(), table["num_params"].max()
    worst, best = score(table["mean"].min(), metric), score(table["mean"].max(), metric)
    return (
        f"{plural(len(table), 'architecture')} with {count(low)} to {count(high)} trained "
        f"parameters score {worst} to {best} on test."
    )


def values(table: pd.DataFrame, higher_is_better: bool) -> str:
    """State how well the search's values rank what was trained."""
    parts = []
    for kind, where in (("race", "in the race"), ("test", "after retraining")):
        rows = table[table["kind"] == kind]
        rows = rows[rows["steps"].isna() | (rows["steps"] == rows["steps"].max())]
        tau = rank_agreement(rows, higher_is_better)
        if not pd.isna(tau):
            parts.append(f"{tau:+.2f} {where} (n = {len(rows)})")
    if not parts:
        return f"{plural(len(table), 'training')} with a value: too few to compare their order."
    return f"Kendall's tau between the search's values and real scores: {', '.join(parts)}."


def front(table: pd.DataFrame, limit: int | None) -> str:
    """State the estimated gain at the limit and at half of it."""
    line = table[table["kind"] == "estimate"]

    def at(budget: float) -> float:
        """Gain of the best architecture within a budget."""
        return float(line.loc[line["num_params"] <= budget, "gain"].max())

    if not limit or line.empty:
        return f"{plural(len(line), 'budget')} were solved again from the values of one search."
    half, whole = at(limit / 2), at(limit)
    return (
        f"By the values of one search, the best architecture within {count(limit)} parameters "
        f"gains an estimated {whole:.2g} nats on the supernet, within half of that {half:.2g}."
    )


def sizes(table: pd.DataFrame) -> str:
    """State the mean size of each method at the last logged step."""
    last = table[table["step"] == table["step"].max()]
    means = last.groupby("method", sort=False)["size"].mean()
    named = ", ".join(f"{name} {value:.3g}" for name, value in means.items())
    return f"Mean size if on at step {int(table['step'].max())}: {named}."


def gate_scores(table: pd.DataFrame) -> str:
    """State where the highest gate score of each stack is."""
    last = table[table["step"] == table["step"].max()]
    parts = []
    for stack in tables.ordered(last["stack"], tables.STACKS):
        rows = last[last["stack"] == stack]
        top = rows.iloc[int(rows["score"].to_numpy().argmax())]
        parts.append(f"{stack} layer {top['layer']}: {top['method']} {top['score']:.2f}")
    return f"Highest gate score at step {int(table['step'].max())}: {'; '.join(parts)}."


def scores(table: pd.DataFrame, data: RunData) -> str:
    """State the found score, the best baseline, and which of them is better."""
    others = int((table["kind"] != FOUND).sum())
    return " ".join([*verdict(data), f"Shown: {plural(others, 'baseline')}."])


def verdict(data: RunData) -> list[str]:
    """Return the comparison with the best baseline at the same budget, as sentences.

    If a baseline won, the first sentence says so.
    """
    metric = data.facts.metric
    found, best = tables.found_score(data), tables.best_baseline(data)
    if found is None:
        return ["The found architecture has no test score yet."]
    own = f"The found architecture reaches {_with_n(found, metric)} {metric} on test."
    if best is None:
        return [own, "No baseline has a score yet, so nothing can be said of the search's worth."]
    gap = float(found["mean"]) - float(best["mean"])
    better = gap if data.facts.higher_is_better else -gap
    other = f"{best['name']} with {_with_n(best, metric)}"
    if better < 0:
        return [f"A baseline won: {other}.", own]
    word = "equals" if better == 0 else "beats"
    text = f"It {word} the best baseline at the same budget, {other}"
    noise = max(_sd(found), _sd(best))
    if better and better <= noise:
        text += f"; the difference of {difference(gap, metric)} is within one standard deviation"
    return [own, f"{text}."]


def _with_n(row: pd.Series, metric: str) -> str:
    seeds = plural(int(row["n"]) if pd.notna(row["n"]) else 0, "seed")
    return f"{spread(float(row['mean']), float(row['sd']), metric)} (n = {seeds})"


def _sd(row: pd.Series) -> float:
    return 0.0 if pd.isna(row["sd"]) else float(row["sd"])


def headline(data: RunData) -> str:
    """Return the first line of the report.

    The summary's own headline, unless a baseline won and it does not name that baseline.
    """
    found, best = tables.found_score(data), tables.best_baseline(data)
    own = data.facts.headline
    named = not baseline_won(data) or (best is not None and str(best["name"]) in own)
    if own and named:
        return own
    if found is None and data.unfinished:
        return f"This run is not finished: {', '.join(data.unfinished)} still to come."
    return " ".join(verdict(data))


def baseline_won(data: RunData) -> bool:
    """Whether a baseline's mean is better than the found architecture's."""
    found, best = tables.found_score(data), tables.best_baseline(data)
    if found is None or best is None:
        return False
    gap = float(best["mean"]) - float(found["mean"])
    return gap > 0 if data.facts.higher_is_better else gap < 0


def alerts(data: RunData) -> list[tuple[str, str]]:
    """Return code and text of every alert: the summary's own, then what the files show."""
    rows = [(str(a["code"]), str(a["text"])) for a in tables.records(data.alerts)]
    codes = {code for code, _ in rows}
    if baseline_won(data) and "baseline_won" not in codes:
        rows.insert(0, ("baseline_won", verdict(data)[0]))
    if data.unfinished:
        names = ", ".join(data.unfinished)
        rows.insert(0, ("unfinished", f"Not finished yet: {names}. What is there is shown."))
    found = tables.found_score(data)
    if found is not None and found["n"] == 1 and "one_seed" not in codes:
        text = "One retraining only: no spread can be given, so no difference can be trusted."
        rows.append(("one_seed", text))
    rows += [("damaged_file", note) for note in data.notes]
    return rows


def budget_line(facts: Facts) -> str:
    """State the parameters used of the limit, the denominator, and the head apart."""
    if facts.limit is None:
        return "The budget has not been counted yet."
    text = f"limit {count(facts.limit)} parameters ({facts.requested})"
    if facts.used is not None:
        share = facts.used / facts.limit if facts.limit else 0.0
        text = f"{count(facts.used)} of {count(facts.limit)} parameters used ({percent(share, 2)})"
    if facts.denominator:
        text += f"; {facts.requested} of a backbone of {count(facts.denominator)}"
    return (
        f"{text}; task head {count(facts.head)} apart."
        if facts.head
        else f"{text}; no task head is added."
    )
