"""Search length and rungs to the scale of a table; what a table cannot answer is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from peftsearch.bench.conditions import Conditions
from peftsearch.bench.spec import RUNGS, TableSpec, read_spec, tables
from peftsearch.config import RunConfig
from peftsearch.config.schema import PRESETS
from peftsearch.errors import ConfigError

SPEC = TableSpec("t", "d", "micro-t5", "micro-nli", 3, 128, {"tight": 900}, Path("none"))


def config(preset: str, *overrides: str, steps: int = 128) -> RunConfig:
    """Return the configuration of a play on a table of so many steps."""
    return Conditions(preset, overrides).config(replace(SPEC, steps=steps), "tight", "tpe", 4)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("steps", [1, 40, 128, 5000])
def test_search_steps_keep_their_proportion(preset: str, steps: int) -> None:
    own = yaml.safe_load((Path("peftsearch/presets") / f"{preset}.yaml").read_text())
    found = config(preset, steps=steps)
    expected = own["search"]["steps"] / own["retrain"]["steps"] * steps
    assert abs(found.search.steps - expected) <= 0.5 or found.search.steps == 1
    assert found.retrain.steps == steps
    assert found.trainings == own["trainings"]
    assert found.race.first_rung == max(own["race"]["first_rung"], RUNGS[0])
    assert found.race.last_rung == min(own["race"]["last_rung"], RUNGS[-1])
    assert (found.strategy, found.seed, found.budget, found.device) == ("tpe", 4, "900", "cpu")


def test_a_table_says_from_where_on_scores_mean_something() -> None:
    spec = replace(SPEC, settings={"race": {"first_rung": 0.5}})
    found = Conditions("standard").config(spec, "tight", "priced", 0)
    assert (found.race.first_rung, found.race.last_rung) == (0.5, 1.0)


def test_what_is_set_comes_last() -> None:
    assert config("quick", "search.steps=7", "race.first_rung=0.25").search.steps == 7


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("race.last_rung=0.7", "has no scores after 0.175 of a training"),
        ("race.first_rung=0.01", "has no scores after"),
        ("retrain.steps=5", "holds trainings of 128 steps, not of 5"),
        ("search.stepz=5", "unknown key"),
    ],
)
def test_what_the_table_cannot_answer(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config("quick", override)


def test_the_tables_of_the_package_can_be_read() -> None:
    assert "micro-nli" in tables()
    for name in tables():
        spec = read_spec(name)
        assert (spec.name, spec.description != "") == (name, True)
        assert list(spec.budgets) == ["tight", "medium", "loose"]
        assert sorted(spec.budgets.values()) == list(spec.budgets.values())
        spec.config("some-model", Path("some-data"))


def test_a_folder_is_a_table_and_wrong_keys_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not known") as refused:
        read_spec("micro-nil")
    assert 'Did you mean "micro-nli"?' in refused.value.hint
    (tmp_path / "table.yaml").write_text("name: x\nstepz: 3\n")
    with pytest.raises(ConfigError, match=r"missing or unknown keys: budgets, .*stepz"):
        read_spec(str(tmp_path))
