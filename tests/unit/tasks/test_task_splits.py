"""Dividing and subsampling rows: stratified, seeded, equal rows together."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftsearch.errors import ConfigError
from peftsearch.tasks import Builtin, Row, Splits, Task, TaskData, get, load, split


def task_of(rows: list[Row], kind: str = "classification") -> Task:
    return Task(
        name="toy",
        description="",
        kind=kind,
        columns=("text",),
        labels=("a", "b", "c") if kind == "classification" else (),
        source=Builtin(lambda name: rows),
    )


def data_of(rows: list[Row], kind: str = "classification", **options: int) -> TaskData:
    return load(task_of(rows, kind), **options)  # type: ignore[arg-type]


def toy_rows(count: int) -> list[Row]:
    return [{"text": f"row {i}", "label": 0 if i % 2 else 1 + i % 3 // 2} for i in range(count)]


def parts(splits: Splits) -> list[list[Row]]:
    return [splits.search_train, splits.search_valid, splits.selection]


@pytest.mark.parametrize(
    ("rows", "selection"), [(4000, 400), (2490, 249), (1000, 200), (400, 100), (40, 10)]
)
def test_sizes(rows: int, selection: int) -> None:
    found = split(data_of(toy_rows(rows)))
    assert len(found.selection) == selection
    assert len(found.search_valid) == round(0.3 * (rows - selection))
    assert sum(map(len, parts(found))) == rows


def test_every_part_has_the_mixture_of_labels() -> None:
    rows = toy_rows(1200)
    whole = Counter(row["label"] for row in rows)
    for part in parts(split(data_of(rows))):
        counts = Counter(row["label"] for row in part)
        for label, count in whole.items():
            assert abs(counts[label] / len(part) - count / len(rows)) < 0.01


def test_the_seed_decides() -> None:
    data = data_of(toy_rows(300))
    assert split(data, 1) == split(data, 1)
    assert split(data, 1) != split(data, 2)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), min_size=60, max_size=200))
def test_equal_rows_never_straddle(pairs: list[tuple[int, int]]) -> None:
    rows = [{"text": f"text {text}", "label": label} for text, label in pairs]
    try:
        found = split(data_of(rows))
    except ConfigError:
        return  # too few different texts
    texts = [{row["text"] for row in part} for part in parts(found)]
    assert not texts[0] & texts[1]
    assert not texts[0] & texts[2]
    assert not texts[1] & texts[2]
    together = Counter(str(row) for part in parts(found) for row in part)
    assert together == Counter(map(str, rows))


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ConfigError, match="3 training rows"):
        split(data_of(toy_rows(3)))


def test_subsampling_keeps_the_mixture_and_the_order() -> None:
    rows = toy_rows(900)
    data = data_of(rows, train_rows=90, test_rows=30, seed=3)
    assert (len(data.train), len(data.test)) == (90, 30)
    assert Counter(row["label"] for row in data.train) == {0: 45, 1: 30, 2: 15}
    places = [rows.index(row) for row in data.train]
    assert places == sorted(places)
    assert data_of(rows, train_rows=90, test_rows=30, seed=3).fingerprint == data.fingerprint
    assert data_of(rows, train_rows=90, test_rows=30, seed=4).train != data.train
    assert data_of(rows, train_rows=10**6).train == rows


def test_the_fingerprint_is_of_the_rows_used() -> None:
    rows = toy_rows(100)
    whole = data_of(rows).fingerprint
    assert len(whole) == 64
    assert data_of(rows).fingerprint == whole
    assert data_of(rows, train_rows=50).fingerprint != whole
    assert data_of([{**rows[0], "text": "other"}, *rows[1:]]).fingerprint != whole
    assert data_of([{**row, "idx": 5} for row in rows]).fingerprint == whole


def test_regression_is_divided_without_labels() -> None:
    rows = [{"text": f"row {i}", "label": i / 7} for i in range(200)]
    found = split(data_of(rows, "regression"))
    assert [len(part) for part in parts(found)] == [105, 45, 50]


def test_the_built_in_task_has_its_own_test() -> None:
    data = load(get("micro-nli"))
    assert data.test_name == "test"
    assert {len(row) for row in data.train} == {3}
    texts = {(row["premise"], row["hypothesis"]) for row in data.train}
    assert not texts & {(row["premise"], row["hypothesis"]) for row in data.test}
