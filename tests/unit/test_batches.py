"""Which rows each step sees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftsearch.batches import Batches
from peftsearch.bench.build import Silent
from peftsearch.config import RunConfig
from peftsearch.formats import Feature
from peftsearch.interrupt import Interrupt
from peftsearch.rundir import RunDir
from peftsearch.session import Session


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


@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=300), st.integers(1, 12), st.integers(0, 9)
)
def test_like_lengths_share_a_batch(lengths: list[int], size: int, seed: int) -> None:
    def padded(batches: Batches) -> tuple[int, list[int]]:
        per_epoch = len(lengths) // batches.size
        drawn = [batches.indices(step) for step in range(per_epoch)]
        seen = [row for rows in drawn for row in rows]
        assert len(set(seen)) == len(seen) == per_epoch * batches.size
        return sum(max(lengths[row] for row in rows) for rows in drawn), sorted(seen)

    grouped, its = padded(Batches(len(lengths), size, seed, lengths))
    mixed, all_ = padded(Batches(len(lengths), size, seed))
    assert its == all_  # the rows that an epoch leaves out are random, not the longest
    assert grouped <= mixed  # pools hold the same rows, sorted or not


def test_batches_of_like_length_mix_the_rows_and_come_in_any_order() -> None:
    lengths = [1 + row % 40 for row in range(2000)]
    batches = Batches(2000, 8, 1, lengths)
    epochs = [[batches.indices(250 * e + i) for i in range(250)] for e in range(2)]
    assert epochs[0] != epochs[1]
    longest = [max(lengths[row] for row in rows) for rows in epochs[0]]
    assert longest not in (sorted(longest), sorted(longest, reverse=True))
    assert max(longest[:25]) - min(longest[:25]) > 20
    # A pure function of the step, in whatever order it is asked.
    assert Batches(2000, 8, 1, lengths).indices(300) == epochs[1][50]


@pytest.mark.parametrize("step", [0, 7])
def test_fewer_rows_than_a_batch(step: int) -> None:
    assert sorted(Batches(3, 32, 0).indices(step)) == [0, 1, 2]


def test_the_configuration_decides(tmp_path: Path) -> None:
    features = [Feature({"input_ids": [1] * (row % 7)}, 0, 0.0) for row in range(60)]
    for wanted in (False, True):
        config = replace(RunConfig(), group_by_length=wanted, device="cpu")
        run = RunDir.create(config, tmp_path / str(wanted))
        order = Session(config, run, Silent(), Interrupt()).batches(features, 8, 3)
        lengths = [f.length for f in features] if wanted else None
        expected = Batches(60, 8, 3, lengths)
        assert [order.indices(i) for i in range(9)] == [expected.indices(i) for i in range(9)]
