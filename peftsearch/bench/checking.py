"""Train rows of a table again, and see whether they come out as they are written."""

from __future__ import annotations

import itertools
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peftsearch.bench.build import COLUMNS, Training, agree, forget, read_rows, train_one, workspace
from peftsearch.bench.spec import RUNGS, SCORES, TableSpec
from peftsearch.bench.table import at
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


#: Beyond so many times the noise a row is another training, not the same one rounded elsewhere.
#: As far off as another seed in every score, one check of two rows in fifty would go beyond.
TIMES_NOISE = 2.0


@dataclass(frozen=True)
class Rechecked:
    """What came of training rows again.

    Attributes:
        trained: Number of rows.
        different: The numbers that came out otherwise.
        off: Root mean square difference of the rows' scores, selection and test.
        noise: The same between two seeds of one architecture, over the whole table; 0 with one.
    """

    trained: int
    different: Sequence[Difference]
    off: float
    noise: float

    @property
    def rows_different(self) -> int:
        """How many rows have a number that came out otherwise."""
        return len({(d.architecture, d.seed) for d in self.different})

    @property
    def within_noise(self) -> bool:
        """Whether the rows differ by rounding alone, as on other hardware, as far as one can see.

        Sums of floats come out otherwise in the last digit with another processor or version,
        and a training lets that grow; to no more than what another seed does.
        """
        if any(d.column == "num_params" for d in self.different):
            return False
        return not self.different or self.off <= TIMES_NOISE * self.noise


def check(
    spec: TableSpec,
    config: RunConfig,
    count: int,
    *,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Rechecked:
    """Train rows drawn at random again, and compare every number but the time.

    Args:
        spec: The table.
        config: Its configuration, from :meth:`TableSpec.config`.
        count: How many rows, at most.
        jobs: Worker processes of one thread each.
        progress: Called with the rows done and the rows in all.

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
    pairs = []
    try:
        for done, row in enumerate(in_parallel(train_one, trainings, jobs), start=1):
            known = written[row["architecture"], row["seed"]]
            different += _compare(known, row)
            pairs.append((known, row))
            progress(done, len(trainings))
    finally:
        forget()
    different.sort(key=lambda d: (d.architecture, d.seed))
    return Rechecked(len(trainings), different, _apart(pairs), noise(rows))


def noise(rows: Iterable[dict[str, str]]) -> float:
    """Return the root mean square difference between the scores of two seeds."""
    seeds = defaultdict(list)
    for row in rows:
        seeds[row["architecture"]].append(row)
    return _apart(pair for each in seeds.values() for pair in itertools.combinations(each, 2))


def _apart(pairs: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> float:
    """Return the root mean square difference of all scores of pairs of rows; 0 without any."""
    squares = [
        (float(one[name]) - float(other[name])) ** 2
        for one, other in pairs
        for name in (*map(at, RUNGS), "test")
    ]
    return math.sqrt(sum(squares) / len(squares)) if squares else 0.0


def _compare(written: dict[str, str], found: dict[str, Any]) -> list[Difference]:
    return [
        Difference(found["architecture"], found["seed"], name, written[name], str(found[name]))
        for name in COLUMNS
        if name != "seconds" and written[name] != str(found[name])
    ]
