"""Portions of a batch: every row once, halved when memory runs out, remembered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from peftsearch.devices.slices import slice_of
from peftsearch.portions import FILE, Portions

FULL = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"


def make(folder: Path, parts: int = 1, alone: bool = True) -> tuple[Portions, list[str]]:
    told: list[str] = []
    return Portions(folder / FILE, told.append, parts, alone), told


@pytest.mark.parametrize(("rows", "parts"), [(8, 2), (7, 3), (3, 8), (1, 1)])
def test_portions_keep_every_row_once(rows: int, parts: int, tmp_path: Path) -> None:
    cut = make(tmp_path, parts)[0].cut(rows)
    assert [row for part in cut for row in part] == list(range(rows))
    assert len(cut) == min(rows, parts)
    assert max(map(len, cut)) - min(map(len, cut)) <= 1


@pytest.mark.parametrize(
    "error", [RuntimeError(FULL), MemoryError(), torch.OutOfMemoryError("CUDA out of memory.")]
)
def test_a_batch_begins_again_in_smaller_portions(error: Exception, tmp_path: Path) -> None:
    portions, told = make(tmp_path)
    seen: list[list[int]] = []

    def work(places: Sequence[range]) -> int:
        seen.append([len(place) for place in places])
        if max(map(len, places)) > 3:
            raise error
        return sum(row for place in places for row in place)

    assert portions.whole(13, work) == sum(range(13))
    assert seen[0] == [13]
    assert max(seen[-1]) <= 3 < max(seen[-2])
    assert len(told) == len(seen) - 1 == 2
    assert told[-1].startswith("Memory ran out with 5 rows at once: from now on 2")
    later, silent = make(tmp_path)  # another stage
    assert later.whole(13, work) == sum(range(13))
    assert silent == []


def test_only_what_failed_is_done_again(tmp_path: Path) -> None:
    portions, told = make(tmp_path)
    calls: list[range] = []

    def work(place: range) -> list[int]:
        calls.append(place)
        if place.start >= 4 and len(place) > 2:
            raise MemoryError
        return list(place)

    found = [row for _, rows in portions.each(10, 4, work) for row in rows]
    assert found == list(range(10))
    assert calls == [range(4), range(4, 8), range(4, 6), range(6, 8), range(8, 10)]
    assert len(told) == 1


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), ValueError("no")])
def test_other_errors_pass(error: Exception, tmp_path: Path) -> None:
    def work(places: object) -> int:
        raise error

    with pytest.raises(type(error), match=str(error)):
        make(tmp_path)[0].whole(8, work)


def test_a_single_row_that_does_not_fit_ends_the_run(tmp_path: Path) -> None:
    def work(places: object) -> int:
        raise RuntimeError(FULL)

    portions, told = make(tmp_path)
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        portions.whole(4, work)
    assert len(told) == 2  # 4, 2, and not 1
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        make(tmp_path, alone=False)[0].whole(4, work)


def test_weights_of_portions_are_by_terms() -> None:
    """A mean over terms is the weighted sum of the means over portions, whatever their lengths."""
    rows = [[1.0], [2.0, 3.0, 4.0], [5.0, 6.0], [7.0]]
    terms = [value for row in rows for value in row]
    found = 0.0
    for portion in (range(3), range(3, 4)):
        own = slice_of(rows, lambda some: sum(map(len, some)), portion)  # type: ignore[arg-type]
        values = [value for row in own.rows for value in row]  # type: ignore[attr-defined]
        found += own.weight * sum(values) / len(values)
        assert list(own.places) == list(portion)
    assert found == pytest.approx(sum(terms) / len(terms))
