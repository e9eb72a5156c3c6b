"""Patterns: found where one was planted, silent where there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from peftsearch.report.chance import draws
from peftsearch.report.patterns import patterns

from .spaces import LIMIT, ask, best_of_random, by_luck, candidates, filled, searches, sites


def said(table: pd.DataFrame) -> list[str]:
    """The sentences that hold."""
    return list(table.loc[table["holds"], "sentence"])


def late_decoder(stack: str, layer: int, part: str) -> float:
    """Worth more in the upper third of the decoder."""
    return 3.0 if stack == "decoder" and layer > 3 else 0.0


def test_a_planted_pattern_is_found_with_its_figures() -> None:
    table = ask([best_of_random(seed, late_decoder) for seed in range(4)])
    sentences = said(table)
    assert any("of the budget goes to the decoder (4 search seeds)" in s for s in sentences)
    assert any("of the decoder's budget goes to its late layers" in s for s in sentences)
    assert not any("of the encoder's budget goes to its late layers" in s for s in sentences)
    row = table[table["name"] == "share of the decoder"].iloc[0]
    own = [
        rows.loc[rows["stack"] == "decoder", "num_params"].sum() / rows["num_params"].sum()
        for _, rows in searches([best_of_random(seed, late_decoder) for seed in range(4)]).groupby(
            "search"
        )
    ]
    assert row["mean"] == pytest.approx(np.mean(own))
    assert row["sd"] == pytest.approx(np.std(own, ddof=1))
    assert f"{100 * np.mean(own):.1f} % ± {100 * np.std(own, ddof=1):.1f}" in row["sentence"]
    assert f"{100 * row['chance']:.1f} %" in row["sentence"]


@pytest.mark.parametrize("drawn", [filled, best_of_random])
def test_without_a_pattern_hardly_any_run_says_anything(drawn: object) -> None:
    assert callable(drawn)
    runs = [ask([drawn(100 * run + seed) for seed in range(3)]) for run in range(30)]
    talking = sum(bool(said(table)) for table in runs)
    # 5 % of 30 runs are 1.5; at that rate more than 5 would be seen once in 300 such tests
    assert talking <= 5


def test_a_published_pattern_is_named_with_its_source() -> None:
    def norms(stack: str, layer: int, part: str) -> float:
        return 60.0 if part == "norm" else -4.0 if layer % 2 else 0.0

    sentences = said(ask([best_of_random(seed, norms) for seed in range(5)]))
    assert any(s.startswith("As in S3PET") and "norms of the decoder" in s for s in sentences)


def test_the_opposite_of_a_published_pattern_is_named_too() -> None:
    def not_late(stack: str, layer: int, part: str) -> float:
        return -5.0 if layer > 3 else 0.0

    sentences = said(ask([best_of_random(seed, not_late) for seed in range(5)]))
    assert any(s.startswith("Unlike in AdaLoRA") and "late layers" in s for s in sentences)


def test_sites_that_all_share_are_counted_against_chance() -> None:
    def first(stack: str, layer: int, part: str) -> float:
        return 6.0 if stack == "encoder" and layer < 3 else -60.0

    table = ask([best_of_random(seed, first) for seed in range(5)])
    row = table[table["name"] == "sites never chosen"].iloc[0]
    empty = sites()[(sites()["stack"] == "decoder") | (sites()["layer"] > 2)]
    assert row["holds"]
    assert row["mean"] == len(empty)
    assert f"{len(empty)} of {len(sites())} sites are left empty by all 5" in row["sentence"]


def test_one_search_seed_says_nothing() -> None:
    table = ask([best_of_random(0, late_decoder)], prices=[0.1])
    assert len(table) > 10
    assert not table["holds"].any()
    assert table["sd"].isna().all()


def test_a_spread_that_covers_chance_says_nothing() -> None:
    """Mean and chance differ by less than the seeds do, however many seeds there are."""
    table = ask([best_of_random(seed) for seed in range(6)], prices=[0.5, 0.0, 0.4, 0.0, 0.6, 0.0])
    covered = (table["mean"] - table["chance"]).abs() <= table["sd"]
    assert covered.any()
    assert not table.loc[covered, "holds"].any()


def test_the_price_is_said_where_all_seeds_know_it() -> None:
    table = ask([best_of_random(s) for s in range(4)], prices=[0.011, 0.012, 0.010, 0.011])
    row = table[table["topic"] == "price"].iloc[0]
    assert row["holds"]
    assert "lower the loss by 0.011" in row["sentence"]
    assert row["p"] == pytest.approx(stats.ttest_1samp([0.011, 0.012, 0.010, 0.011], 0).pvalue)


def test_holm_by_its_definition() -> None:
    table = ask([best_of_random(seed, late_decoder) for seed in range(3)])
    p = table["p"].astype(float)
    for i, own in zip(table.index, p, strict=True):
        ranked = sorted(p)
        smaller = [ranked[j] * (len(p) - j) for j in range(len(p)) if ranked[j] <= own]
        assert table["adjusted"][i] == pytest.approx(min(1.0, max(smaller)))


def test_chance_keeps_the_budget_and_fills_it() -> None:
    costs = candidates()["num_params"].to_numpy()
    gates = candidates()["gate"].to_numpy()
    for way, picks in draws(candidates(), LIMIT, 200).items():
        totals = costs[picks].sum(axis=1)
        assert totals.max() <= LIMIT, way
        assert totals.mean() > 0.9 * LIMIT, way
        assert (gates[picks] == np.arange(picks.shape[1])).all(), way


@pytest.mark.parametrize(
    ("way", "drawn"), [("random fill", filled), ("random values", best_of_random)]
)
def test_chance_is_that_of_the_rest_of_the_program(way: str, drawn: object) -> None:
    """Against the random baselines and the exact knapsack, which are written independently."""
    assert callable(drawn)
    mine = by_luck().draws[way]
    theirs = searches([drawn(seed) for seed in range(120)])
    for column in ("stack", "part", "method"):
        sums = theirs.groupby(["search", column])["num_params"].sum().unstack(fill_value=0)
        shares = sums.div(sums.sum(axis=1), axis=0)
        for name in shares.columns:
            own = mine.sums(mine.rows[column] == name, mine.rows["num_params"])
            whole = mine.sums(weights=mine.rows["num_params"])
            error = shares[name].std() / np.sqrt(len(shares))
            assert (own / whole).mean() == pytest.approx(shares[name].mean(), abs=4 * error + 5e-3)


def test_a_choice_outside_of_the_space_is_counted_and_does_no_harm() -> None:
    """A uniform architecture that won a search may use sites and sizes that no gate offers."""
    table = searches([filled(seed) for seed in range(3)])
    last = table.index[-1]
    assert table.loc[last, "part"] == "norm"
    table.loc[last, ["site", "layer", "method", "size"]] = ["decoder.06.norm", 6, "ia3", 1]
    answers = patterns(table, candidates(), sites(), by_luck())
    assert len(answers) == len(ask([filled(seed) for seed in range(3)]))


def test_no_search_no_table() -> None:
    empty = searches([filled(0)]).iloc[:0]
    assert patterns(empty, candidates(), sites(), None).empty
