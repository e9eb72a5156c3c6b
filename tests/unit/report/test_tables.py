"""The tables, against what the synthetic runs hold."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from peftsearch.errors import ConfigError
from peftsearch.report import tables
from peftsearch.report.collect import RunData, collect
from peftsearch.report.outcome import FOUND, STAGES

from . import factory


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    """A finished run."""
    return collect(factory.finished(tmp_path_factory.mktemp("finished")))


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    """A run with several methods at a site."""
    return collect(factory.many(tmp_path_factory.mktemp("many")))


def test_a_directory_that_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a run directory"):
        collect(tmp_path)


def test_layer_assignment_has_every_site_bottom_to_top(done: RunData) -> None:
    table = tables.layer_assignment(done)
    assert list(table["site"].drop_duplicates()) == [s["id"] for s in factory.sites(factory.Plan())]
    assert table["num_params"].sum() == done.facts.used
    assert (table["method"] == "none").any()


def test_layer_assignment_adds_sites_the_architecture_leaves_out(tmp_path: Path) -> None:
    root = factory.finished(tmp_path)
    architecture = json.loads((root / "architecture.json").read_text(encoding="utf-8"))
    kept = [c for c in architecture["choices"] if c["method"] != "none"]
    factory.write(root / "architecture.json", {**architecture, "choices": kept})
    table = tables.layer_assignment(collect(root))
    assert table["site"].nunique() == len(factory.sites(factory.Plan()))


def test_heatmap_holds_all_parameters_and_knows_what_was_offered(done: RunData) -> None:
    table = tables.heatmap(done)
    assert len(table) == len(done.sites) * len(tables.method_names(done))
    assert table["num_params"].sum() == done.facts.used
    norms = table[table["part"] == "norm"]
    assert set(norms.loc[norms["offered"], "method"]) == {"layernorm"}


def test_methods_keep_the_order_of_the_registry(done: RunData) -> None:
    names = tables.method_names(done)
    assert names.index("lora") < names.index("adapter") < names.index("prefix")


@pytest.mark.parametrize("key", ["stack", "part", "method"])
def test_budget_shares_add_up(done: RunData, several: RunData, key: str) -> None:
    for data in (done, several):
        table = tables.budget_by(data, key)
        assert table["num_params"].sum() == data.facts.used
        assert table["share"].sum() == pytest.approx(1)
        assert (table["used"] <= table["sites"]).all()


def test_budget_by_layer_names_every_layer(done: RunData) -> None:
    table = tables.budget_by_layer(done)
    assert table["num_params"].sum() == done.facts.used
    assert len(table[["stack", "layer"]].drop_duplicates()) == 7


def test_gate_masses_add_up_where_a_site_has_one_method(done: RunData) -> None:
    table = tables.gate_trajectories(done)
    sums = table.groupby(["step", "stack", "part"])["probability"].sum()
    assert sums.to_numpy() == pytest.approx(1)
    assert table["step"].max() == 300


def test_gate_masses_are_probabilities_where_methods_combine(several: RunData) -> None:
    table = tables.gate_trajectories(several)
    assert table["probability"].between(0, 1).all()
    assert "none" not in set(table["method"])


def test_gates_at_end_are_the_last_line(done: RunData) -> None:
    table = tables.gates_at_end(done)
    assert table.groupby("site")["probability"].sum().to_numpy() == pytest.approx(1)


def test_scores_put_the_found_one_first_then_the_best(done: RunData) -> None:
    table = tables.scores(done)
    assert table["kind"].iloc[0] == FOUND
    assert table["mean"].iloc[1:].is_monotonic_decreasing
    assert pd.isna(table["difference"].iloc[0])
    best = tables.best_baseline(done)
    assert best is not None
    assert best["name"] == table["name"].iloc[1]


def test_scores_without_a_summary_come_from_the_retrainings(tmp_path: Path) -> None:
    root = factory.finished(tmp_path)
    before = collect(root)
    (root / "summary.json").unlink()
    after = collect(root)
    merged = before.scores.merge(after.scores, on="name")
    assert len(merged) == len(before.scores)
    assert merged["mean_x"].to_numpy() == pytest.approx(merged["mean_y"].to_numpy())
    assert merged["sd_x"].iloc[0] == pytest.approx(merged["sd_y"].iloc[0])


def test_one_seed_has_no_spread(tmp_path: Path) -> None:
    data = collect(factory.one_seed(tmp_path))
    assert data.scores["sd"].isna().all()
    assert set(data.scores["n"]) == {1}


def test_the_race_marks_its_winner(done: RunData) -> None:
    table = tables.race(done)
    assert list(table.loc[table["winner"], "name"]) == ["supernet-1"]
    assert table["score"].is_monotonic_decreasing


def test_cost_has_every_stage(done: RunData) -> None:
    table = tables.cost(done)
    assert list(table["stage"]) == list(STAGES)
    assert table["share"].sum() == pytest.approx(1)


def test_exports_have_their_reasons(done: RunData) -> None:
    verified = dict(zip(done.exports["target"], done.exports["verified"], strict=True))
    assert verified == {"native": True, "peft": False}
    assert set(done.problems["target"]) == {"peft"}


def test_an_unfinished_run_gives_empty_tables_with_columns(tmp_path: Path) -> None:
    data = collect(factory.unfinished(tmp_path))
    assert data.unfinished[0] == "search"
    assert data.notes == ()
    for make in (tables.layer_assignment, tables.heatmap, tables.budget_by_layer, tables.scores):
        table = make(data)
        assert table.empty
        assert len(table.columns) > 3
    assert tables.gate_trajectories(data)["step"].max() == 200


@pytest.mark.parametrize("stage", ["config", "manifest", "sites", "space", "architecture"])
def test_every_single_file_may_be_missing(tmp_path: Path, stage: str) -> None:
    root = factory.finished(tmp_path)
    for path in root.glob(f"{stage}.*"):
        path.unlink()
    data = collect(root)
    assert data.facts.model == "micro-t5"


@pytest.mark.parametrize(
    "name", ["summary.json", "architecture.json", "space.json", "race.json", "config.yaml"]
)
@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1, "choices": [{"site": 3}], "a": :}'])
def test_a_damaged_file_is_noted_and_skipped(tmp_path: Path, name: str, content: str) -> None:
    root = factory.finished(tmp_path)
    (root / name).write_text(content, encoding="utf-8")
    assert any(name in note for note in collect(root).notes)


def test_steps_logged_twice_count_once(tmp_path: Path) -> None:
    root = factory.finished(tmp_path)
    with (root / "events.jsonl").open("a", encoding="utf-8") as file:
        row = {"stage": "search", "event": "step", "step": 300, "price": 9.0}
        file.write(json.dumps(row) + "\n")
    steps = collect(root).steps
    assert steps["step"].is_unique
    assert steps["price"].iloc[-1] == 9.0
