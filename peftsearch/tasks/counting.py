"""What can be seen in rows before anything is trained: counts, and what should be known of them.

Place in the flow: between the checked rows of a task and their division. Nothing is dropped or
changed here; what is wrong with a single row was refused before. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peftsearch.tasks.shapes import OF_LABELS, Row, Shape

#: Rows of the most frequent label for one of the least frequent, from which on it is said.
UNEVEN = 10


@dataclass(frozen=True)
class Counts:
    """Counts of the rows that are used.

    Attributes:
        rows: Rows by split.
        labels: Rows (for tagging words) of each label by split; empty for other kinds.
        repeated: Training rows whose texts an earlier one has.
        contradicting: Those of them with another label than the earlier one.
        seen: Test rows by split whose texts a training row has.
        empty: Rows by split with an empty text, in data of the Hub.
        notices: Sentences on what should be known.
    """

    rows: dict[str, int]
    labels: dict[str, dict[str, int]]
    repeated: int
    contradicting: int
    seen: dict[str, int]
    empty: dict[str, int]
    notices: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the form written into ``manifest.json``, without the notices."""
        return {
            "rows": self.rows,
            "labels": self.labels,
            "repeated": self.repeated,
            "contradicting": self.contradicting,
            "seen_in_training": self.seen,
            "empty": self.empty,
        }


def count(splits: Mapping[str, Sequence[Row]], shape: Shape, where: Callable[[Row], str]) -> Counts:
    """Count rows, labels, repetitions and empty texts.

    Args:
        splits: Checked rows by split; the first is the one to train on.
        shape: Tells texts and labels.
        where: Says where a row stands.
    """
    (name, train), *tests = splits.items()
    labels = {split: _labels(rows, shape) for split, rows in splits.items() if shape.labels}
    again, against = _repeated(train, shape)
    known = {shape.text(row) for row in train}
    seen = {split: [row for row in rows if shape.text(row) in known] for split, rows in tests}
    empty = {
        split: [row for row in rows if _has_empty(row, shape)] for split, rows in splits.items()
    }
    notices = [
        *_of_labels(name, labels, splits, shape, where),
        *_of_repeated(again, against, where),
        *(
            f"{len(rows):,} of {len(splits[split]):,} {split} rows are training rows too; the "
            f"first: {where(rows[0])}. Scores on them are no test."
            for split, rows in seen.items()
            if rows
        ),
        *(
            f"{len(rows):,} {split} rows have an empty text; the first: {where(rows[0])}."
            for split, rows in empty.items()
            if rows
        ),
    ]
    return Counts(
        {split: len(rows) for split, rows in splits.items()},
        labels,
        len(again),
        len(against),
        {split: len(rows) for split, rows in seen.items()},
        {split: len(rows) for split, rows in empty.items()},
        tuple(notices),
    )


def _label_ids(row: Row, shape: Shape) -> list[int]:
    label = row[shape.label_column]
    return label if isinstance(label, list) else [label]


def _labels(rows: Sequence[Row], shape: Shape) -> dict[str, int]:
    found = Counter(i for row in rows for i in _label_ids(row, shape))
    return {name: found[i] for i, name in enumerate(shape.labels)}


def _repeated(rows: Sequence[Row], shape: Shape) -> tuple[list[Row], list[Row]]:
    """Return the rows whose texts came before, and those of them with another label."""
    first: dict[tuple[str, ...], Row] = {}
    again = [row for row in rows if first.setdefault(shape.text(row), row) is not row]
    column = shape.label_column
    return again, [row for row in again if row[column] != first[shape.text(row)][column]]


def _has_empty(row: Row, shape: Shape) -> bool:
    return any(isinstance(row[name], str) and not row[name].strip() for name in shape.columns)


def _of_repeated(
    again: Sequence[Row], against: Sequence[Row], where: Callable[[Row], str]
) -> Iterator[str]:
    if again:
        yield (
            f"{len(again):,} training rows repeat the texts of an earlier one; the first: "
            f"{where(again[0])}. They stay in the same part."
        )
    if against:
        yield (
            f"{len(against):,} of them have another label than the earlier one; the first: "
            f"{where(against[0])}."
        )


def _of_labels(
    train: str,
    labels: Mapping[str, Mapping[str, int]],
    splits: Mapping[str, Sequence[Row]],
    shape: Shape,
    where: Callable[[Row], str],
) -> Iterator[str]:
    """Say which labels are never trained on, and whether the others are uneven."""
    if not labels:
        return
    counts = labels[train]
    for i, label in enumerate(shape.labels):
        if counts[label]:
            continue
        yield f'The label "{label}" has no training row.'
        for split, rows in splits.items():
            found = [row for row in rows if i in _label_ids(row, shape)]
            if found:
                yield (
                    f'{len(found):,} {split} rows have the label "{label}", which is never '
                    f"trained on; the first: {where(found[0])}."
                )
    there = {label: number for label, number in counts.items() if number}
    if shape.kind in OF_LABELS and there:
        most, least = max(there, key=there.__getitem__), min(there, key=there.__getitem__)
        if there[most] >= UNEVEN * there[least]:
            yield (
                f"The labels are uneven: {there[most]:,} {most}, {there[least]:,} {least}. "
                "Accuracy says little then; macro_f1 counts every label alike."
            )


def missing_labels(parts: Mapping[str, Sequence[Row]], shape: Shape) -> list[str]:
    """Say which labels of the training rows a part of them does not have, and why.

    Args:
        parts: The parts by name.
        shape: Tells the labels; other kinds than classification have none to keep.
    """
    if shape.kind not in OF_LABELS:
        return []
    counts = {name: _labels(rows, shape) for name, rows in parts.items()}
    notices = []
    for label in shape.labels:
        total = sum(found[label] for found in counts.values())
        without = [name for name, found in counts.items() if not found[label]]
        if total and without:
            notices.append(
                f'No row of the label "{label}" is in {" and ".join(without)}: it has {total:,} '
                f"training row{'s' if total > 1 else ''}, too few different ones for every part."
            )
    return notices
