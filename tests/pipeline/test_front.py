"""One search for several budgets."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from peftsearch import front, pipeline
from peftsearch.architecture import Architecture
from peftsearch.errors import BudgetError, ConfigError, StoppedError
from peftsearch.rundir import STAGES, read_json
from tests.pipeline.material import Material, write_space

BUDGETS = "6%,12%,20%"
FOLDERS = ["20pct", "12pct", "6pct"]


@pytest.mark.usefixtures("short")
def test_each_budget_has_a_run_and_all_have_one_search(material: Material, tmp_path: Path) -> None:
    events = []
    done = front.run(material.config(budget=BUDGETS), out=tmp_path / "all", listener=events.append)
    assert list(done.summary["runs"]) == FOLDERS
    found = [Architecture.load(tmp_path / "all" / f / "architecture.json") for f in FOLDERS]
    limits = [architecture.limit for architecture in found]
    assert limits == sorted(limits, reverse=True)
    assert all(0 < a.num_params <= a.limit for a in found)
    states = [
        load_file(tmp_path / "all" / f / "search" / "checkpoint.safetensors") for f in FOLDERS
    ]
    assert all(states[0].keys() == state.keys() for state in states)
    assert all((states[0][key] == state[key]).all() for state in states for key in state)
    searched = [e for e in events if e["stage"] == "search" and "step" in e]
    assert len(searched) == 8, "the supernet is trained once"
    spaces = [read_json(tmp_path / "all" / f / "space.json")["gates"] for f in FOLDERS]
    assert spaces[0] == spaces[1] == spaces[2]
    measured = [read_json(tmp_path / "all" / f / "search" / "measured.json") for f in FOLDERS]
    for limit, one in zip(limits, measured, strict=True):
        assert one["samples"]
        assert all(sample["num_params"] <= limit for sample in one["samples"])
    assert (tmp_path / "all" / "report" / "report.html").is_file()
    assert (tmp_path / "all" / "summary.json").is_file()


@pytest.mark.usefixtures("short")
def test_one_budget_is_a_run_as_ever(material: Material, tmp_path: Path, finished: Path) -> None:
    done = front.run(material.config(), out=tmp_path / "one")
    assert done.run_dir == tmp_path / "one"
    assert done.summary["found"] == read_json(finished / "summary.json")["found"]


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_it_goes_on_where_it_was_stopped(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = material.config(budget="6%,12%")
    whole = front.run(config, out=tmp_path / "whole").summary
    real = pipeline.run

    def stopped(one: object, **places: object) -> object:
        if getattr(one, "budget", "") == "6%":
            raise StoppedError(15, "Stopped")
        return real(one, **places)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "run", stopped)
    with pytest.raises(StoppedError):
        front.run(config, out=tmp_path / "parts")
    assert not (tmp_path / "parts" / "summary.json").exists()
    monkeypatch.setattr(pipeline, "run", real)
    resumed = front.run(config, resume=tmp_path / "parts").summary
    for name, one in whole["runs"].items():
        assert resumed["runs"][name]["found"] == one["found"]
    stages = read_json(tmp_path / "parts" / "12pct" / "manifest.json")["stages"]
    assert {stages[stage]["status"] for stage in STAGES} == {"done"}


def test_a_budget_below_the_cheapest_candidate_is_refused(
    material: Material, tmp_path: Path
) -> None:
    space = write_space(tmp_path / "big.yaml", "attention", {"method": "lora", "sizes": [8]})
    config = material.config(budget="200,5000", space=str(space))
    with pytest.raises(BudgetError, match="200"):
        front.plan(config)


def test_a_search_of_another_space_is_not_taken(
    material: Material, finished: Path, tmp_path: Path
) -> None:
    space = write_space(tmp_path / "other.yaml", "attention", {"method": "lora", "sizes": [4]})
    config = material.config(space=str(space), search={"shared": str(finished)})
    with pytest.raises(ConfigError, match="another space"):
        pipeline.run(config, out=tmp_path / "run")


@pytest.mark.parametrize(
    ("budget", "said"),
    [("1%,1.0%", "twice"), ("1%,100k", "mixes"), ("1%,", "not a budget"), ("1%,much", "much")],
)
def test_budgets_that_make_no_sense(material: Material, budget: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        material.config(budget=budget)
