"""The tables of the package: every row of their spaces is there, and architectures differ."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from peftsearch.bench.build import agree, workspace
from peftsearch.bench.listing import listed
from peftsearch.bench.spec import FACTS, read_spec, tables
from peftsearch.bench.table import Table

BUILT = [known["name"] for known in listed() if known["built"]]
BUILT_IN = [name for name in BUILT if read_spec(name).model]


@pytest.mark.parametrize("name", BUILT)
def test_rows_are_those_of_the_space(name: str) -> None:
    folder = tables()[name]
    space = json.loads((folder / FACTS).read_text())["space"]
    sites = [[c["num_params"] for c in gate["candidates"]] for gate in space["gates"]]
    costs = {
        "-".join(map(str, places)): sum(site[i] for site, i in zip(sites, places, strict=True))
        for places in itertools.product(*(range(len(site)) for site in sites))
    }
    table = Table.read(folder)
    assert 300 <= len(costs) <= 3000
    assert dict(zip(table.labels, table.num_params, strict=True)) == costs
    assert not table.rows.duplicated(["architecture", "seed"]).any()
    assert table.test.shape == (len(costs), len(table.seeds))
    for scores in (table.test, *table.selection.values()):
        assert scores.min() >= 0
        assert scores.max() <= 1


@pytest.mark.parametrize("name", BUILT)
def test_budgets_bind_each_in_its_way(name: str) -> None:
    table, spec = Table.read(tables()[name]), read_spec(name)
    tight, medium, loose = (table.fits(limit).mean() for limit in spec.budgets.values())
    assert 0.1 < tight < 0.3 < medium < 0.6 < loose < 0.95


@pytest.mark.parametrize("name", BUILT)
def test_architectures_differ_more_than_seeds(name: str) -> None:
    scores = Table.read(tables()[name]).test  # (N, K)
    if scores.shape[1] == 1:
        pytest.skip("a single seed is complete")
    # What all architectures lose with a seed changes no order.
    scores = scores - scores.mean(axis=0)
    noise = scores.var(axis=1, ddof=1).mean()
    signal = scores.mean(axis=1).var(ddof=1) - noise / scores.shape[1]
    assert np.sqrt(signal / noise) > 1


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_space_has_not_changed_since(name: str) -> None:
    spec = read_spec(name)
    with workspace(spec.config()) as work:
        agree(spec, work)
