"""Train rows of a table again, and see whether they come out as they are written."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from peftsearch.bench.build import COLUMNS, Training, agree, forget, read_rows, train_one, workspace
from peftsearch.bench.spec import SCORES, TableSpec
from peftsearch.bench.workers import in_parallel
from peftsearch.config import RunConfig
from peftsearch.errors import MissingError


@dataclass(frozen=True)
class Difference:
    """One number that came out otherwise.

    Attributes:
        architecture: As in ``scores.csv``.
        seed: The training seed.
        column: Which number.
        written: What the table has.
        found: What a training gives now.
    """

    architecture: str
    seed: int
    column: str
    written: str
    found: str


def check(
    spec: TableSpec,
    config: RunConfig,
    count: int,
    *,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[int, list[Difference]]:
    """Train rows drawn at random again; every number but the time must be equal.

    Args:
        spec: The table.
        config: Its configuration, from :meth:`TableSpec.config`.
        count: How many rows, at most.
        jobs: Worker processes of one thread each.
        progress: Called with the rows done and the rows in all.

    Returns:
        The rows trained, and what differs.

    Raises:
        MissingError: The table has no rows.
        ConfigError: The folder holds another table.
    """
    rows = read_rows(spec.folder / SCORES)
    if not rows:
        raise MissingError(f"The table {spec.name} has no rows.", "Build it first.")
    with workspace(config) as work:
        agree(spec, work)
    # Other rows every time: what was looked at once need not be looked at again.
    drawn = random.SystemRandom().sample(rows, min(count, len(rows)))
    written = {(row["architecture"], int(row["seed"])): row for row in drawn}
    trainings = [Training(config, tuple(map(int, name.split("-"))), seed) for name, seed in written]
    different: list[Difference] = []
    try:
        for done, row in enumerate(in_parallel(train_one, trainings, jobs), start=1):
            different += _compare(written[row["architecture"], row["seed"]], row)
            progress(done, len(trainings))
    finally:
        forget()
    return len(trainings), sorted(different, key=lambda d: (d.architecture, d.seed))


def _compare(written: dict[str, str], found: dict[str, Any]) -> list[Difference]:
    return [
        Difference(found["architecture"], found["seed"], name, written[name], str(found[name]))
        for name in COLUMNS
        if name != "seconds" and written[name] != str(found[name])
    ]
