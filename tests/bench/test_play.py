"""Every strategy on the tiny table: within the budget, the same again, and what it is charged."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from peftsearch import effort
from peftsearch.bench.conditions import Conditions
from peftsearch.bench.play import Play, play, single_seconds
from peftsearch.bench.table import Table, percentile, regret
from peftsearch.catalogue import StrategyCard, strategies
from peftsearch.errors import ConfigError
from tests.bench.material import Tiny

SETTINGS = ("search.steps=3", "trainings=2")


def played(tiny: Tiny, strategy: str, seed: int = 0, budget: str = "loose") -> Play:
    """Play once."""
    conditions = Conditions("quick", SETTINGS, str(tiny.model), tiny.data)
    config = conditions.config(tiny.spec, budget, strategy, seed)
    return play(Table.read(tiny.folder), config, seed)


def timeless(found: Play) -> Play:
    """Return a play without the time it took."""
    return replace(found, seconds=0.0)


@pytest.mark.parametrize("strategy", strategies())
def test_every_strategy_keeps_the_budget_and_repeats_itself(tiny: Tiny, strategy: str) -> None:
    table = Table.read(tiny.folder)
    found = played(tiny, strategy)
    assert timeless(played(tiny, strategy)) == timeless(found)
    place = table.labels.index(found.architecture)
    assert found.num_params == table.num_params[place] <= 150
    assert found.violation == 0
    assert found.percentile == percentile(place, table.truth(0), table.fits(150))
    assert found.regret == regret(place, table.truth(0), table.fits(150))
    assert 0 <= found.trainings + found.searched <= 2


def test_another_seed_sees_other_scores(tiny: Tiny) -> None:
    found = [played(tiny, "random", seed, "tight") for seed in (0, 1)]
    table = Table.read(tiny.folder)
    for seed, each in enumerate(found):
        place = table.labels.index(each.architecture)
        assert each.regret == regret(place, table.truth(seed), table.fits(60))


def test_shared_weights_are_charged(tiny: Tiny) -> None:
    conditions = Conditions("quick", SETTINGS, str(tiny.model), tiny.data)
    config = conditions.config(tiny.spec, "loose", "priced", 0)
    steps, rows = effort.search_trainings(config), config.search.valid_rows
    few = played(tiny, "priced").searched
    # Distinct architectures near the budget may be fewer than were asked for.
    most = effort.measure_trainings(config, config.search.measured, rows)
    most += effort.gate_trainings(config, effort.importance_batches(config))
    assert steps < few <= steps + most
    assert played(tiny, "uniform").searched == played(tiny, "random").searched == 0


def test_the_strategy_of_contributing_plays(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).resolve().parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (code,) = [b for b in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "STRATEGY =" in b]
    (tmp_path / "blind_strategy.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    card = StrategyCard("blind", "", "", "blind_strategy")
    for place in ("catalogue", "strategies.base"):
        monkeypatch.setattr(f"peftsearch.{place}.strategies", lambda: {"blind": card})
    found = played(tiny, "blind")
    assert (found.trainings, found.searched, found.violation) == (0, 0, 0)


@pytest.mark.parametrize(("fact", "value"), [("data", "x"), ("backbone_parameters", 1)])
def test_another_model_or_data_is_refused(tiny: Tiny, fact: str, value: Any) -> None:
    table = Table.read(tiny.folder)
    other = Table({**table.facts, fact: value}, table.rows)
    config = Conditions("quick", (), str(tiny.model), tiny.data)
    with pytest.raises(ConfigError, match=f"was built with another {fact}") as refused:
        play(other, config.config(tiny.spec, "loose", "uniform", 0), 0)
    assert "--model DIR --data DIR" in refused.value.hint


def test_a_single_training_takes_time(tiny: Tiny) -> None:
    assert single_seconds(Table.read(tiny.folder), tiny.config) > 0
