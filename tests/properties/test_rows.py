"""The knapsack with further rows equals brute force, whatever the instance."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from peftsearch.baselines import random_fill, trimmed, uniform_in
from peftsearch.discretise import cost_of, fits, solve
from peftsearch.errors import BudgetError
from peftsearch.resources import Resource, Shared
from peftsearch.rows import rows, spread
from peftsearch.space import EMPTY, Candidate, Gate, SearchSpace
from peftsearch.strategies.design_space import pattern
from peftsearch.strategies.filling import sort_and_fill
from peftsearch.strategies.tpe import repaired
from tests.shapes import t5_sites

SITES = t5_sites(2, 1)
LAYERS = [("encoder", 0), ("encoder", 1), ("decoder", 0)]


def instance(rng: np.random.Generator) -> tuple[SearchSpace, list[list[float]], int]:
    """Draw a space with a sum, a limit per layer and something shared; values and a budget."""
    shared = tuple(
        Shared(float(rng.integers(1, 40)), frozenset(LAYERS[: i + 1])) for i in range(len(LAYERS))
    )
    keeps = ((LAYERS[int(rng.integers(3))], 3.0),) if rng.random() < 0.3 else ()
    resources = (
        Resource("bytes", "bytes", "", float(rng.integers(20, 200)), fixed=11.0, kept=keeps),
        Resource("modules_per_layer", "", "", float(rng.integers(1, 3)), per_layer=True),
        Resource(
            "flops", "", "", float(rng.integers(30, 160)), fixed=7.0, shared=shared, kept=keeps
        ),
    )
    gates, values = [], []
    for place in sorted(rng.choice(len(SITES), int(rng.integers(2, 6)), replace=False)):
        count = int(rng.integers(1, 4))
        candidates = [EMPTY]
        for i in range(count):
            costs = (float(rng.integers(1, 60)), 1.0, float(rng.integers(1, 30)))
            method = ("lora", "adapter", "bitfit")[int(rng.integers(3))]
            candidates.append(Candidate(method, i + 1, ("q",), int(rng.integers(1, 50)), costs))
        gates.append(Gate(SITES[place], (EMPTY_OF_THREE, *candidates[1:])))
        values.append([0.0, *map(float, rng.normal(0.5, 1, count))])
    space = SearchSpace("drawn", "", "one", tuple(gates), resources=resources)
    return space, values, int(rng.integers(10, 150))


EMPTY_OF_THREE = Candidate("none", 0, (), 0, (0.0, 0.0, 0.0))


def counted(space: SearchSpace, chosen: tuple[int, ...]) -> tuple[float, float, float]:
    """Count the three resources of an assignment, each in its own words."""
    placed = [
        ((g.site.stack, g.site.layer), g.candidates[i].costs)
        for g, i in zip(space.gates, chosen, strict=True)
        if i
    ]
    size, _, flops = space.resources
    there = {place for place, _ in placed} | {place for place, _ in flops.kept}
    lowest = min((LAYERS.index(place) for place in there), default=len(LAYERS))
    return (
        11.0 + sum(c for _, c in size.kept) + sum(costs[0] for _, costs in placed),
        float(max((sum(p == one for p, _ in placed) for one in LAYERS), default=0)),
        7.0
        + sum(c for _, c in flops.kept)
        + sum(costs[2] for _, costs in placed)
        + sum(flops.shared[i].amount for i in range(lowest, len(LAYERS))),
    )


def within(space: SearchSpace, chosen: tuple[int, ...], limit: int) -> bool:
    limits = [resource.limit for resource in space.resources]
    return cost_of(space, chosen) <= limit and all(
        used <= most for used, most in zip(counted(space, chosen), limits, strict=True)
    )


@pytest.mark.parametrize("block", range(4))
def test_equals_brute_force(block: int) -> None:
    rng = np.random.default_rng([7, block])
    binding = 0
    for _ in range(15):
        space, values, limit = instance(rng)
        every = [*itertools.product(*(range(len(g.candidates)) for g in space.gates))]
        good = [chosen for chosen in every if within(space, chosen, limit)]
        assert [c for c in every if fits(space, c, limit)] == good
        if not good:
            with pytest.raises(BudgetError):
                solve(space, values, limit)
            continue
        best = max(sum(r[i] for r, i in zip(values, c, strict=True)) for c in good)
        found = tuple(solve(space, values, limit))
        assert found in good
        worth = sum(row[i] for row, i in zip(values, found, strict=True))
        assert worth == pytest.approx(best, abs=1e-6)
        plain = SearchSpace("drawn", "", "one", space.gates)
        binding += not within(space, tuple(solve(plain, values, limit)), limit)
    assert binding > 3  # else the rows decide nothing


def test_whatever_fills_keeps_to_every_row() -> None:
    rng = np.random.default_rng(3)
    seen = 0
    for seed in range(150):
        space, values, limit = instance(rng)
        nothing = tuple([0] * len(space.gates))
        if not within(space, nothing, limit):
            continue
        seen += 1
        full = [len(gate.candidates) - 1 for gate in space.gates]
        order = rng.permutation(len(full)).tolist()
        found = [
            random_fill(space, limit, seed),
            trimmed(space, full, limit, order),
            sort_and_fill(space, values, limit),
            repaired(space, full, limit),
            pattern(space, limit),
            *(uniform_in(space, m, limit) or nothing for m in ("lora", "adapter")),
        ]
        for chosen in found:
            assert within(space, tuple(chosen), limit)
        free = [g for g, i in enumerate(found[0]) if not i]
        for g in free:  # random fill leaves nothing empty that could be filled
            for i in range(1, len(space.gates[g].candidates)):
                assert not within(space, (*found[0][:g], i, *found[0][g + 1 :]), limit)
    assert seen > 50


def test_of_equals_the_one_with_less_to_compute() -> None:
    """A resource without a limit decides between equals, and nothing else."""
    shared = tuple(Shared(10.0, frozenset(LAYERS[: i + 1])) for i in range(2))
    flops = Resource("train_flops", "FLOPs", "", math.inf, shared=shared)
    none = Candidate("none", 0, (), 0, (0.0,))
    gates = tuple(
        Gate(site, (none, Candidate("lora", 1, ("q",), 5, (1.0,))))
        for site in SITES
        if site.part == "attention" and site.stack == "encoder"
    )
    space = SearchSpace("two", "", "one", gates, resources=(flops,))
    assert solve(space, [[0.0, 1.0], [0.0, 1.0]], 5) == [0, 1]
    assert solve(space, [[0.0, 1.001], [0.0, 1.0]], 5) == [1, 0]
    assert solve(space, [[0.0, 1.0], [0.0, 1.0]], 10) == [1, 1]


def test_an_even_part_of_what_is_shared_is_exact_where_all_is_on() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        space, _, _ = instance(rng)
        for row in rows(space):
            if row.resource.per_layer:
                continue
            even, own = spread(space, row), row.costs
            on = np.array([bool(c.num_params) for _, c in space.choices()])
            gates = [(g.site.stack, g.site.layer) for g in space.gates]
            wanted = sum(one.amount for one in row.resource.unpaid if set(gates) & one.layers)
            count = np.array([len(g.candidates) - 1 for g, _ in space.choices()])
            assert float(((even - own) * on / count).sum()) == pytest.approx(wanted)


def test_resources_survive_space_json() -> None:
    space, _, _ = instance(np.random.default_rng(2))
    again = SearchSpace.from_json(space.to_json())
    assert again == space
    costs = [c.costs for _, c in space.choices()]
    assert [c.costs for _, c in again.choices()] == costs
