"""Search values, the front over budgets, intervals, and agreement between search seeds."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from peftsearch.report import gate_tables, searches, share_tables, value_tables
from peftsearch.report.collect import RunData, collect

from . import factory


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    """A finished run with one search seed."""
    return collect(factory.finished(tmp_path_factory.mktemp("finished")))


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    """A finished run with five search seeds."""
    return collect(factory.several(tmp_path_factory.mktemp("several")))


@pytest.mark.parametrize("seed", range(5))
def test_every_point_of_the_front_is_the_best_at_its_cost(seed: int) -> None:
    """Against all architectures of a small space, one by one."""
    rng = np.random.default_rng(seed)
    gates = [[(0, 0.0), *((int(rng.integers(1, 9)), float(rng.normal())) for _ in range(3))]
             for _ in range(5)]  # fmt: skip
    flat = [(g, cost, value) for g, rows in enumerate(gates) for cost, value in rows]
    table = pd.DataFrame(flat, columns=["gate", "num_params", "value"])
    points = value_tables._supported(table, table["value"].to_numpy())
    every = [
        (sum(c for c, _ in picked), sum(v for _, v in picked))
        for picked in itertools.product(*gates)
    ]
    for cost, value in points:
        assert value == pytest.approx(max(v for c, v in every if c <= cost))
    assert [cost for cost, _ in points] == sorted({cost for cost, _ in points})
    assert points[-1][1] == pytest.approx(max(v for _, v in every))


def test_the_value_of_an_architecture_is_the_sum_of_its_choices(done: RunData) -> None:
    table = done.candidates.assign(value=done.worth)
    by_hand = 0.0
    for choice in done.choices.to_dict("records"):
        here = table[(table["site"] == choice["site"]) & (table["method"] == choice["method"])]
        if choice["method"] != "none":
            by_hand += float(here.loc[here["size"] == choice["size"], "value"].iloc[0])
    assert value_tables.value_of(done, done.choices) == pytest.approx(by_hand)
    other = done.choices.assign(size=999)
    assert math.isnan(value_tables.value_of(done, other))


def test_search_values_hold_the_race_and_the_retrained(done: RunData) -> None:
    table = value_tables.search_values(done)
    race = table[table["kind"] == "race"]
    assert set(race["name"]) == set(done.race["name"])
    assert list(race.loc[race["found"], "name"]) == [done.facts.winner]
    assert "found" in set(table.loc[table["kind"] == "test", "name"])


def test_rank_agreement_knows_which_way_is_better() -> None:
    table = pd.DataFrame({"value": [1.0, 2.0, 3.0], "score": [0.1, 0.2, 0.3]})
    assert value_tables.rank_agreement(table, True) == 1
    assert value_tables.rank_agreement(table, False) == -1
    assert math.isnan(value_tables.rank_agreement(table.head(2), True))


def test_rank_agreement_against_scipy() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 6, (20, 2)).astype(float)  # with ties
    table = pd.DataFrame(drawn, columns=["value", "score"])
    tau = stats.kendalltau(table["value"], table["score"]).statistic
    assert value_tables.rank_agreement(table, True) == pytest.approx(tau)


def test_intervals_are_those_of_student(done: RunData) -> None:
    table = value_tables.score_intervals(done)
    row = table.iloc[0]
    # t at 0.975 with 2 degrees of freedom, from a printed table
    assert row["high"] - row["mean"] == pytest.approx(4.3027 * row["sd"] / math.sqrt(3), rel=1e-4)
    assert row["mean"] - row["low"] == pytest.approx(row["high"] - row["mean"])


def test_one_seed_has_no_interval(tmp_path: Path) -> None:
    table = value_tables.score_intervals(collect(factory.one_seed(tmp_path)))
    assert table["low"].isna().all()


def test_gate_scores_by_layer_against_the_log(done: RunData) -> None:
    table = gate_tables.gate_scores(done)
    row = table[(table["step"] == 200) & (table["layer"] == 2) & (table["method"] == "lora")]
    for stack in ("encoder", "decoder"):
        score = float(row.loc[row["stack"] == stack, "score"].iloc[0])
        there = done.candidates[
            (done.candidates["stack"] == stack)
            & (done.candidates["layer"] == 2)
            & (done.candidates["method"] == "lora")
        ]
        sums = [done.alphas.loc[200, list(rows.index)].sum() for _, rows in there.groupby("site")]
        assert score == pytest.approx(np.mean(sums))
    assert table["score"].between(0, 1).all()


def test_sizes_are_weighted_by_probability(done: RunData) -> None:
    table = gate_tables.size_trajectories(done)
    assert set(table["method"]) == {"lora", "adapter", "parallel_adapter", "prefix"}
    assert table.loc[table["method"] == "lora", "size"].between(2, 8).all()
    first = table[(table["step"] == 10) & (table["method"] == "lora")]
    # at the start all sizes are alike: the mean of 2, 4 and 8
    assert first["size"].to_numpy() == pytest.approx(14 / 3)


def test_long_logs_are_thinned_and_keep_their_ends() -> None:
    table = pd.DataFrame({"step": np.arange(1, 1001).repeat(2)})
    kept = gate_tables.logged_steps(table, 50)["step"].unique()
    assert len(kept) == 50
    assert kept[0] == 1
    assert kept[-1] == 1000


def test_search_seeds_are_read_from_their_folders(several: RunData) -> None:
    assert searches.number(several.searches) == 5
    assert list(share_tables.site_choices(several)["search"].unique()) == [0, 1, 2, 3, 4]
    assert several.compared is not None


def test_a_damaged_search_seed_is_noted_and_left_out(tmp_path: Path) -> None:
    root = factory.several(tmp_path)
    (root / "search/seed-3/architecture.json").write_text("{", encoding="utf-8")
    data = collect(root)
    assert sorted(data.searches["search"].unique()) == [0, 1, 2, 4]
    assert any("search/seed-3/architecture.json" in note for note in data.notes)


def test_without_folders_there_is_one_search(done: RunData) -> None:
    assert searches.number(done.searches) == 1
    assert done.compared is None
    assert share_tables.site_choices(done).empty
    assert list(share_tables.confidence(done)["share"]) == list(done.certainty["share"])


def _search(seed: int, **choices: tuple[str, int]) -> pd.DataFrame:
    rows = [(seed, site, method, params) for site, (method, params) in choices.items()]
    return pd.DataFrame(rows, columns=["search", "site", "method", "num_params"])


def test_overlap_by_hand() -> None:
    one = _search(0, a=("lora", 30), b=("ia3", 10), c=("none", 0))
    other = _search(1, a=("lora", 10), b=("lora", 10), c=("none", 0))
    table = searches.overlaps(pd.concat([one, other]))
    # both spend 10 on lora at a; either spends 30 there, 10 and 10 at b
    assert table["overlap"].item() == pytest.approx(10 / 50)
    assert table["sites"].item() == pytest.approx(2 / 3)
    agree = searches.agreement(pd.concat([one, other]), one).set_index("site")["agree"]
    assert agree.to_dict() == {"a": 1.0, "b": 0.5, "c": 1.0}


def test_thirds_of_a_stack() -> None:
    sites = pd.DataFrame({"stack": ["encoder"] * 6 + ["decoder"] * 2, "layer": [*range(6), 0, 1]})
    thirds = list(searches.with_depth(sites, sites)["third"])
    assert thirds == ["early", "early", "middle", "middle", "late", "late", "", ""]


def test_shares_lie_between_their_seeds(several: RunData) -> None:
    table = share_tables.budget_shares(several)
    sums = table.groupby("kind")["share"].sum()
    assert sums.to_numpy() == pytest.approx(1)
    decoder = table[table["name"] == "decoder"].iloc[0]
    assert decoder["low"] == decoder["high"] == 1  # every search spends all of it there
    assert (table["chance_low"] <= table["chance_high"]).all()
