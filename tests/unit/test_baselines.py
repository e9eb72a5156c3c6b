"""Uniform and random baselines at the same budget."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftsearch.architecture import Choice
from peftsearch.baselines import (
    UNIFORM,
    complete,
    random_fill,
    to_choices,
    uniform,
    uniform_baselines,
)
from peftsearch.catalogue import method_facts
from peftsearch.discretise import cost_of
from peftsearch.space import EMPTY, Candidate, Gate, SearchSpace
from tests.shapes import bert_sites, cost, t5_sites

SITES = t5_sites()


def spread(name: str, parts: tuple[str, ...], size: int) -> int:
    """Return the cost of a method at all sites of some parts, by the definition."""
    usual = method_facts()[name].modules
    return sum(
        cost(site, name, tuple(m for m in usual[site.part] if m in site.modules), size)
        for site in SITES
        if site.part in parts
    )


@pytest.mark.parametrize("limit", [300, 1000, 5000, 20_000, 100_000])
@pytest.mark.parametrize("name", UNIFORM.values())
def test_the_largest_that_fits(name: str, limit: int) -> None:
    """Against a search of every set of parts and every size, by the documented order."""
    card = method_facts()[name]
    sizes = range(1, 4097) if card.sized else (1,)
    wanted = None
    for count in range(len(card.modules), 0, -1):
        fitting = [
            total
            for parts in itertools.combinations(card.modules, count)
            for total in itertools.takewhile(
                lambda total: total <= limit, (spread(name, parts, size) for size in sizes)
            )
        ]
        if fitting:
            wanted = (count, max(fitting))
            break
    choices = uniform(card, SITES, cost, limit)
    if wanted is None:
        assert choices is None
        return
    assert choices is not None
    used = {c.site.rsplit(".", 1)[1] for c in choices if c.method != "none"}
    assert (len(used), sum(c.num_params for c in choices)) == wanted


def test_one_choice_for_each_site() -> None:
    choices = uniform(method_facts()["lora"], SITES, cost, 10_000)
    assert choices is not None
    assert [c.site for c in choices] == [site.id for site in SITES]
    assert len({(c.method, c.size) for c in choices if c.method != "none"}) == 1


def test_fallback_to_fewer_parts() -> None:
    card = method_facts()["lora"]
    everywhere = spread("lora", tuple(card.modules), 1)
    wide = uniform(card, SITES, cost, everywhere)
    narrow = uniform(card, SITES, cost, everywhere - 1)
    assert wide is not None
    assert narrow is not None
    parts = [{c.site.split(".")[2] for c in found if c.size} for found in (wide, narrow)]
    assert [len(found) for found in parts] == [3, 2]


def test_baselines_that_do_not_fit_are_left_out() -> None:
    assert set(uniform_baselines(SITES, cost, 10**6)) == set(UNIFORM)
    assert uniform_baselines(SITES, cost, 10) == {}
    assert set(uniform_baselines(bert_sites(), cost, 10**6)) == set(UNIFORM)


SIZES = st.lists(st.integers(1, 50), min_size=1, max_size=4, unique=True)


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    gates = []
    for site in SITES[: draw(st.integers(1, 8))]:
        costs = draw(SIZES)
        candidates = (Candidate("lora", i + 1, ("q",), n) for i, n in enumerate(sorted(costs)))
        gates.append(Gate(site, (EMPTY, *candidates)))
    return SearchSpace("drawn", "", "one", tuple(gates))


@given(spaces(), st.integers(0, 300), st.integers(0, 5))
def test_random_fill(space: SearchSpace, limit: int, seed: int) -> None:
    chosen = random_fill(space, limit, seed)
    assert chosen == random_fill(space, limit, seed)
    left = limit - cost_of(space, chosen)
    assert left >= 0
    for gate, index in zip(space.gates, chosen, strict=True):
        if index == 0:  # empty only where nothing fits any more
            assert all(c.num_params > left for c in gate.candidates[1:])


def test_random_fill_differs_by_seed() -> None:
    candidates = tuple(Candidate("lora", n, ("q",), n) for n in range(1, 9))
    gates = tuple(Gate(site, (EMPTY, *candidates)) for site in SITES)
    space = SearchSpace("s", "", "one", gates)
    assert len({tuple(random_fill(space, 30, seed)) for seed in range(20)}) > 15


def test_choices_of_several_gates_at_one_site() -> None:
    lora, adapter = Candidate("lora", 1, ("q",), 2), Candidate("adapter", 1, ("o",), 3)
    first, second = SITES[:2]
    gates = (Gate(first, (EMPTY, lora)), Gate(first, (EMPTY, adapter)), Gate(second, (EMPTY, lora)))
    space = SearchSpace("s", "", "many", gates)
    of_lora, of_adapter = (
        Choice(first.id, "lora", 1, ("q",), 2),
        Choice(first.id, "adapter", 1, ("o",), 3),
    )
    empty = Choice(second.id)
    assert to_choices(space, [1, 1, 0]) == (of_lora, of_adapter, empty)
    assert to_choices(space, [0, 1, 0]) == (of_adapter, empty)
    assert to_choices(space, [0, 0, 0]) == (Choice(first.id), empty)


def test_complete() -> None:
    choice = Choice(SITES[2].id, "lora", 1, ("q",), 2)
    done = complete([choice], SITES)
    assert [c.site for c in done] == [site.id for site in SITES]
    assert done[2] == choice
    assert {c.method for c in done} == {"none", "lora"}


def test_under_further_limits_the_lowest_layers_go_without() -> None:
    """As few of them as possible; with a limit that any layer meets nothing changes."""
    lora = method_facts()["lora"]

    def above(first: int) -> Callable[[tuple[Choice, ...]], bool]:
        return lambda choices: all(
            int(c.site.split(".")[1]) >= first for c in choices if c.method != "none"
        )

    sites = bert_sites(4)
    plain = uniform(lora, sites, cost, 10**5)
    assert uniform(lora, sites, cost, 10**5, above(0)) == plain
    found = uniform(lora, sites, cost, 10**5, above(2))
    assert found is not None
    assert [c.site for c in found] == [site.id for site in sites]
    taken = {c.site for c in found if c.method != "none"}
    wanted = {s.id for s in sites if s.layer >= 2 and s.part in ("attention", "feed_forward")}
    assert taken == wanted
    assert sum(c.num_params for c in found) <= 10**5
    assert uniform(lora, sites, cost, 10**5, above(9)) is None
