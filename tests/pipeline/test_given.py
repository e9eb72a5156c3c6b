"""A run of an architecture that is known already: no search, the rest as ever."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from peftsearch import pipeline
from peftsearch.architecture import Architecture
from peftsearch.bench.build import workspace
from peftsearch.carrying import carried
from peftsearch.errors import BudgetError, ConfigError
from peftsearch.rundir import read_json
from tests.pipeline.material import Material


@pytest.mark.usefixtures("short")
def test_it_is_what_the_run_that_found_it_retrained(
    finished: Path, material: Material, tmp_path: Path
) -> None:
    """Same architecture, task, rows and seeds: the very same scores."""
    file = finished / "architecture.json"
    done = pipeline.run(material.config(architecture=str(file)), out=tmp_path / "run")
    assert Architecture.load(done.run_dir / "architecture.json") == Architecture.load(file)
    before = read_json(finished / "summary.json")
    assert done.summary["found"]["values"] == before["found"]["values"]
    race = done.summary["race"]
    assert (race["winner"], race["trainings"]) == ("given", 0.0)
    assert [entry["name"] for entry in race["contestants"]] == ["given"]
    assert not (done.run_dir / "search").exists()


def test_costs_are_those_of_the_model_it_is_carried_to(material: Material, finished: Path) -> None:
    found = Architecture.load(finished / "architecture.json")
    wrong = tuple(replace(choice, num_params=7) for choice in found.active)
    other = replace(found, model="elsewhere", choices=wrong)
    with workspace(material.config()) as work:
        choices = carried(other, work.backbone.sites, work.cost, "file")
        assert choices == found.active


def test_a_model_of_another_shape_is_refused(
    material: Material, finished: Path, tmp_path: Path
) -> None:
    found = Architecture.load(finished / "architecture.json")
    with (
        workspace(material.config("bert")) as work,
        pytest.raises(ConfigError, match="does not fit") as refused,
    ):
        carried(found, work.backbone.sites, work.cost, "file")
    missing = [c for c in found.active if c.site.startswith("decoder")]
    assert missing
    assert all(f"{choice.site}: no such site" in refused.value.message for choice in missing)


def test_more_than_the_budget_is_refused(
    material: Material, finished: Path, tmp_path: Path
) -> None:
    file = finished / "architecture.json"
    config = material.config(architecture=str(file), budget="1%")
    with pytest.raises(BudgetError, match="and 1% allows") as refused:
        pipeline.run(config, out=tmp_path / "run")
    assert refused.value.hint is not None
    assert str(Architecture.load(file).num_params) in refused.value.hint


def test_its_own_model_task_and_budget_are_taken_where_none_are_given(finished: Path) -> None:
    from peftsearch import config

    file = finished / "architecture.json"
    found = Architecture.load(file)
    settings = config.resolve(flags={"architecture": str(file)})
    assert (settings.model, settings.task, settings.budget) == (
        found.model,
        found.task,
        found.requested,
    )
    other = config.resolve(flags={"architecture": str(file), "task": "mrpc"})
    assert (other.model, other.task) == (found.model, "mrpc")
    with pytest.raises(ConfigError, match="does not exist"):
        config.resolve(flags={"architecture": "nothing.json"})
    with pytest.raises(ConfigError, match="tpe has nothing to search for"):
        config.resolve(flags={"architecture": str(file), "strategy": "tpe"})
