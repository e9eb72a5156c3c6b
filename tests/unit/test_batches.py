"""Which rows each step sees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftsearch.batches import Batches


def test_each_epoch_is_a_permutation() -> None:
    batches = Batches(rows=12, size=4, seed=3)
    epochs = [[row for i in range(3) for row in batches.indices(3 * e + i)] for e in range(4)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 4


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 9), st.integers(0, 100))
def test_within_an_epoch_nothing_comes_twice(rows: int, size: int, seed: int, epoch: int) -> None:
    batches = Batches(rows, size, seed)
    per_epoch = rows // batches.size
    steps = range(epoch * per_epoch, (epoch + 1) * per_epoch)
    seen = [row for step in steps for row in batches.indices(step)]
    assert len(set(seen)) == len(seen) == per_epoch * min(size, rows)
    assert set(seen) <= set(range(rows))


@given(st.integers(1, 40), st.integers(1, 50), st.lists(st.integers(0, 200), min_size=1))
def test_a_pure_function_of_the_step(rows: int, size: int, steps: list[int]) -> None:
    used = Batches(rows, size, seed=5)
    for step in steps:
        assert used.indices(step) == Batches(rows, size, seed=5).indices(step)


def test_the_seed_matters() -> None:
    assert Batches(100, 50, 0).indices(0) != Batches(100, 50, 1).indices(0)


@pytest.mark.parametrize("step", [0, 7])
def test_fewer_rows_than_a_batch(step: int) -> None:
    assert sorted(Batches(3, 32, 0).indices(step)) == [0, 1, 2]
