"""Seeded, stratified draws from rows; rows with the same text are never separated.

Place in the flow: below :mod:`peftsearch.tasks.base`. Pure and deterministic.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from peftsearch.seeds import derive
from peftsearch.tasks.rows import Row, Shape
from peftsearch.tasks.shapes import OF_LABELS


def pick(rows: list[Row], shape: Shape, count: int | None, seed: int, name: str) -> list[Row]:
    """Draw ``count`` rows with the mixture of labels kept, in their old order.

    Args:
        rows: All rows.
        shape: Tells the label column, and the kind: only classifications are stratified.
        count: How many to draw; ``None`` or more than there are: all.
        seed: Root seed.
        name: Name of the split, so that each draws differently.
    """
    if count is None or count >= len(rows):
        return rows
    rng = random.Random(derive(seed, "subsample", name))
    if shape.group:
        return _pick_groups(rows, shape, count, rng)
    strata = _strata([[i] for i in range(len(rows))], rows, shape)
    quotas = _quotas(count, [len(members) for members in strata])
    chosen: set[int] = set()
    for members, quota in zip(strata, quotas, strict=True):
        chosen.update(index for (index,) in rng.sample(members, quota))
    return [row for index, row in enumerate(rows) if index in chosen]


def _pick_groups(rows: list[Row], shape: Shape, count: int, rng: random.Random) -> list[Row]:
    """Draw whole groups, as many as fit; the first one in any case."""
    groups = _together(rows, shape)
    rng.shuffle(groups)
    chosen: set[int] = set(groups[0])
    for group in groups[1:]:
        if len(chosen) + len(group) <= count:
            chosen.update(group)
    return [row for index, row in enumerate(rows) if index in chosen]


def _together(rows: Sequence[Row], shape: Shape) -> list[list[int]]:
    """Collect the numbers of rows that are never divided, in the order of their first one."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(shape.together(row), []).append(index)
    return list(groups.values())


def divide(rows: Sequence[Row], shape: Shape, sizes: Sequence[int], seed: int) -> list[list[Row]]:
    """Divide rows into parts of about the given sizes, and a last part with the rest.

    A group of equal rows that no longer fits into a part goes to the next, so a part is never
    larger than asked for, and smaller only where groups are large.

    Args:
        rows: Rows to divide.
        shape: Tells which rows are equal and which label they have.
        sizes: Wanted number of rows of every part but the last.
        seed: Root seed.

    Returns:
        ``len(sizes) + 1`` lists, each in seeded random order.
    """
    rng = random.Random(derive(seed, "splits"))
    strata = _strata(_together(rows, shape), rows, shape)
    weights = [sum(map(len, stratum)) for stratum in strata]
    # A label with a group for every part gets into every part.
    enough = [len(stratum) > len(sizes) for stratum in strata]
    quotas = [_with_all(_quotas(size, weights), enough) for size in sizes]
    parts: list[list[int]] = [[] for _ in range(len(sizes) + 1)]
    for number, stratum in enumerate(strata):
        room = [quota[number] for quota in quotas]
        rng.shuffle(stratum)
        for group in stratum:
            part = next((i for i, left in enumerate(room) if len(group) <= left), len(sizes))
            if part < len(sizes):
                room[part] -= len(group)
            parts[part] += group
    for part_indices in parts:
        rng.shuffle(part_indices)
    return [[rows[i] for i in part_indices] for part_indices in parts]


def _strata(groups: list[list[int]], rows: Sequence[Row], shape: Shape) -> list[list[list[int]]]:
    """Collect groups of row numbers by the label of their first row, in the order of labels."""
    if shape.kind not in OF_LABELS:
        return [groups]
    strata: list[list[list[int]]] = [[] for _ in shape.labels]
    for group in groups:
        strata[rows[group[0]][shape.label_column]].append(group)
    return strata


def _with_all(quotas: list[int], enough: Sequence[bool]) -> list[int]:
    """Give one to each stratum that has enough and got none, from the largest."""
    found = list(quotas)
    for number, quota in enumerate(quotas):
        largest = max(range(len(found)), key=found.__getitem__)
        if quota == 0 and enough[number] and found[largest] > 1:
            found[largest] -= 1
            found[number] += 1
    return found


def _quotas(total: int, weights: Sequence[int]) -> list[int]:
    """Share ``total`` in proportion to weights by largest remainders; sums to ``total``."""
    whole = sum(weights)
    if whole == 0:
        return [0] * len(weights)
    exact = [total * weight / whole for weight in weights]
    quotas = [int(share) for share in exact]
    order = sorted(range(len(weights)), key=lambda i: (quotas[i] - exact[i], i))
    for i in order[: total - sum(quotas)]:
        quotas[i] += 1
    return quotas
