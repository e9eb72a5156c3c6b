"""What races: the knapsack's best, random fills, uniform LoRA, and others that are liked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from peftsearch import baselines
from peftsearch.architecture import Architecture
from peftsearch.bench.build import workspace
from peftsearch.discretise import cost_of, solve
from peftsearch.race import UNIFORM, Contestant, RealTrials
from peftsearch.strategies import base, priced
from peftsearch.values import Values, additive
from peftsearch.workspace import Workspace
from tests.pipeline.material import build

USUAL = "uniform-lora"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    material = build(tmp_path_factory.mktemp("proposals"))
    with workspace(material.config(trainings=20)) as made:
        yield made


def some_values(work: Workspace, seed: int) -> Values:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=len(gate.candidates)).tolist() for gate in work.space.gates]


def indices(work: Workspace, contestant: Contestant) -> tuple[int, ...]:
    found = base.candidates_of(work.space, contestant.architecture)
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [1, 3, 9])
def test_the_best_and_then_what_is_liked(work: Workspace, seed: int, count: int) -> None:
    values = some_values(work, seed)
    found = [indices(work, one) for one in priced.proposals(work, values, count)]
    assert 1 <= len(found) == len(set(found)) <= count
    assert all(0 < cost_of(work.space, one) <= work.free for one in found)
    best = solve(work.space, values, work.free, least_cost=1)
    assert found[0] == tuple(best)
    fills = base.random_fills(work, 60)
    worths = sorted((additive(values, fill) for fill in fills), reverse=True)
    least = worths[max(1, round(len(worths) / 3)) - 1]
    assert priced.liked(values, fills) == least
    # As long as there are any: after them come the knapsack's next best ones.
    good = [one for one in found[1:] if one in fills and additive(values, one) >= least]
    there = [fill for fill in fills if additive(values, fill) >= least and fill != found[0]]
    assert good == found[1 : len(good) + 1]
    assert len(good) == min(count - 1, len(there))


def test_without_any_fill_everything_is_liked() -> None:
    assert priced.liked([[0.0, 1.0]], []) == -math.inf


@pytest.mark.parametrize("count", [1, 2, 4, 7, 8, 20])
def test_the_usual_one_races_and_then_those_that_are_liked(work: Workspace, count: int) -> None:
    trials = RealTrials(work)
    names = [one.name for one in base.uniform_contestants(work, trials)]
    likeliest = names[-1]
    assert USUAL in names[:-1]
    favoured = baselines.uniform_in(work.space, baselines.UNIFORM[likeliest], work.free)
    assert favoured is not None
    values = [[float(i == taken) for i in range(len(gate.candidates))]
              for gate, taken in zip(work.space.gates, favoured, strict=True)]  # fmt: skip
    found = priced.others(work, trials, values, count)
    assert len(found) <= max(0, count - 1)
    named = [one.name for one in found if one.source == UNIFORM]
    assert len(named) <= count * work.config.race.besides
    assert named[:2] == [USUAL, likeliest][: count // 2]
    assert len([one for one in found if one.source == "random"]) == count // 8


def test_a_stand_in_for_the_usual_one_must_be_liked(work: Workspace) -> None:
    class Narrow(RealTrials):
        def knows(self, architecture: Architecture) -> bool:
            return base.candidates_of(work.space, architecture) is not None

    trials = Narrow(work)
    assert any(one.name == USUAL and one.stand_in for one in base.uniform_contestants(work, trials))
    worst = [[0.0] + [-1.0 * (c.method == "lora") for c in gate.candidates[1:]]
             for gate in work.space.gates]  # fmt: skip
    racing = [one.name for one in priced.others(work, trials, worst, 7)]
    assert racing
    assert USUAL not in racing
    assert USUAL in [one.name for one in priced.others(work, RealTrials(work), worst, 7)]


def test_no_uniform_one_races_where_none_may(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    race = replace(work.config.race, besides=0.0)
    monkeypatch.setattr(work.session, "config", replace(work.config, race=race))
    assert not priced.others(work, RealTrials(work), some_values(work, 0), 7)


def test_uniform_ones_that_are_not_liked_do_not_race(work: Workspace) -> None:
    trials, fills = RealTrials(work), base.random_fills(work, 60)
    inside = {
        one.name: baselines.uniform_in(work.space, baselines.UNIFORM[one.name], work.free)
        for one in base.uniform_contestants(work, trials)
        if one.name != USUAL
    }
    kept, refused = 0, 0
    for seed in range(20):
        values = some_values(work, seed)
        racing = {one.name for one in priced.others(work, trials, values, 7)}  # no random fill
        good = {name for name, row in inside.items()
                if row and additive(values, row) >= priced.liked(values, fills)}  # fmt: skip
        assert USUAL in racing
        assert racing - {USUAL} <= good
        assert len(racing) == min(len(good) + 1, 3)
        kept, refused = kept + len(good), refused + len(inside) - len(good)
    assert kept
    assert refused
