"""A planted problem: by construction one candidate of each site is better than all others.

Supernet, gates, price, measuring and race are the real ones; only what the model says is planted:
its loss is minus the total value of the candidates that are switched on.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from peftsearch.architecture import Architecture
from peftsearch.bench.build import workspace
from peftsearch.discretise import cost_of, solve
from peftsearch.race import Contestant
from peftsearch.search.measure import draw
from peftsearch.strategies import base, priced
from peftsearch.supernet.gates import PricedGates
from peftsearch.supernet.supernet import Supernet
from peftsearch.workspace import Workspace
from tests.pipeline.material import Material, build

SEARCH = {"steps": 60, "batch_size": 8, "measured": 12, "valid_rows": 24, "log_every": 100}


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return build(tmp_path_factory.mktemp("planted"))


@dataclass
class Planted:
    """In place of the task's format: what it says of a batch hangs on the choices alone.

    Attributes:
        plain: The real format, for everything else.
        worth: Value of every candidate, (G, C), between 0 and 1 in sum.
    """

    plain: Any
    worth: Tensor
    choices: Tensor = field(default_factory=lambda: torch.zeros(0))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    def total(self) -> Tensor:
        return (self.choices * self.worth).sum((-1, -2)).mean()

    def loss(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        return -self.total()

    def assess(self, model: Any, batch: dict[str, Tensor]) -> tuple[list[float], float]:
        """The more an architecture is worth, the more rows it gets right."""
        first = self.plain._targets[0][0]  # the first token of label 0
        truth = [float(row[0] != first) for row in batch["labels"].tolist()]
        right = round(float(self.total()) * len(truth))
        said = [t if i < right else 1.0 - t for i, t in enumerate(truth)]
        return said, -float(self.total())


@dataclass
class PlantedTrials:
    """Real trainings would say what is planted."""

    work: Workspace
    worth: Tensor
    spent: float = 0.0

    @property
    def scoring(self) -> float:
        return 0.0

    def score(self, contestant: Contestant, share: float) -> float | None:
        self.spent += share
        found = base.candidates_of(self.work.space, contestant.architecture)
        return 0.0 if found is None else sum(float(self.worth[g, i]) for g, i in enumerate(found))

    def knows(self, architecture: Architecture) -> bool:
        return base.candidates_of(self.work.space, architecture) is not None

    def loss(self, contestant: Contestant, share: float) -> float:
        return 0.0

    def noise(self, one: Contestant, other: Contestant) -> float:
        return 0.0


@pytest.fixture(params=[0, 1, 2])
def planted(
    request: pytest.FixtureRequest, material: Material, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Workspace, Planted, list[int]]]:
    """A workspace, what is planted, and the best architecture by trying all of them."""
    seed: int = request.param
    config = material.config(seed=seed, search=SEARCH, trainings=100)
    with workspace(config) as work:
        torch.manual_seed(seed)
        shape = (len(work.space.gates), max(len(g.candidates) for g in work.space.gates))
        worth = 0.02 * torch.rand(shape, dtype=torch.float64)
        worth[:, 0] = 0.0
        for g, gate in enumerate(work.space.gates):
            worth[g, int(torch.randint(1, len(gate.candidates), ()))] = 0.7 / shape[0]
        made = Planted(work.format, worth)
        work.__dict__["format"] = made
        plain = Supernet.set

        def set_and_tell(self: Supernet, choices: Tensor, rows: int, **more: Any) -> None:
            made.choices = choices
            plain(self, choices, rows, **more)

        monkeypatch.setattr(Supernet, "set", set_and_tell)
        yield work, made, _best(work, worth)


def _best(work: Workspace, worth: Tensor) -> list[int]:
    every = itertools.product(*(range(len(gate.candidates)) for gate in work.space.gates))
    inside = [a for a in every if cost_of(work.space, a) <= work.budget.limit]
    return list(max(inside, key=lambda a: sum(float(worth[g, i]) for g, i in enumerate(a))))


def _proposed(work: Workspace) -> list[int]:
    """What the knapsack makes of the gates alone."""
    gates = PricedGates(work.space)
    base.restore_supernet(work, gates).remove()
    values = base.by_gate(work.space, gates.log_prior().detach())
    return solve(work.space, values, work.budget.limit)


def test_the_gates_find_it(planted: tuple[Workspace, Planted, list[int]]) -> None:
    work, _, best = planted
    priced.search(work)
    assert _proposed(work) == best


def test_what_the_gates_dislike_is_measured_too(
    planted: tuple[Workspace, Planted, list[int]],
) -> None:
    """Gates that are sure of their first candidates do not keep the others from being drawn."""
    work, _, _ = planted
    gates = PricedGates(work.space)
    with torch.no_grad():
        gates.alphas[:, 1] = 50.0
    supernet = base.build_supernet(work, gates)
    try:
        drawn = draw(supernet, work.budget.limit, 60, seed=3)
        assert drawn == draw(supernet, work.budget.limit, 60, seed=3)
    finally:
        supernet.remove()
    assert len(set(drawn)) == len(drawn)
    assert all(cost_of(work.space, found) <= work.budget.limit for found in drawn)
    for g, gate in enumerate(work.space.gates):
        assert {found[g] for found in drawn} == set(range(len(gate.candidates)))


def test_frozen_gates_do_not(planted: tuple[Workspace, Planted, list[int]]) -> None:
    work, _, best = planted
    base.train_supernet(work, train_gates=False)
    assert _proposed(work) != best


def test_the_whole_strategy_finds_it(
    planted: tuple[Workspace, Planted, list[int]], tmp_path: Path
) -> None:
    work, made, best = planted
    priced.search(work)
    verdict = priced.choose(work, PlantedTrials(work, made.worth))
    assert base.candidates_of(work.space, verdict.winner.architecture) == tuple(best)
    assert verdict.winner.source == "gates"
    assert verdict.winner.architecture.num_params <= work.budget.limit
    assert verdict.certainty is not None
    assert len(verdict.certainty) == len(work.space.gates)
    assert all(share > 0.5 for share in verdict.certainty)
