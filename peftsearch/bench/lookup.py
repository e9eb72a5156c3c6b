"""Trials that are looked up: what a race would have seen, without training anything."""

from __future__ import annotations

from dataclasses import dataclass, field

from peftsearch.architecture import Architecture
from peftsearch.bench.table import Table
from peftsearch.race import Contestant
from peftsearch.strategies.base import candidates_of


@dataclass
class TableTrials:
    """The trainings of one seed of a table.

    Attributes:
        table: The table.
        seed: Which of its seeds a strategy may see.
        scoring: Cost of one scoring, in single trainings.
        spent: Single trainings so far.
    """

    table: Table
    seed: int
    scoring: float = 0.0
    spent: float = 0.0
    reached: dict[int, float] = field(default_factory=dict)

    def score(self, contestant: Contestant, share: float) -> float | None:
        """Return the selection score after a share of the training."""
        place = self.place(contestant)
        if share > self.reached.get(place, 0.0):
            self.spent += share - self.reached.get(place, 0.0) + self.scoring
            self.reached[place] = share
        return float(self.table.selection[share][place, self.table.seeds.index(self.seed)])

    def knows(self, architecture: Architecture) -> bool:
        """Whether it is an architecture of the table's space."""
        return candidates_of(self.table.space, architecture) is not None

    def loss(self, contestant: Contestant, share: float) -> float:
        """Return 0: a table has scores only."""
        return 0.0

    def noise(self, one: Contestant, other: Contestant) -> float:
        """Return 0: a table has no rows to resample, so only equal scores are a tie."""
        return 0.0

    def place(self, contestant: Contestant) -> int:
        """Return the place of a contestant in the table.

        Raises:
            ValueError: It is not an architecture of the table's space.
        """
        candidates = candidates_of(self.table.space, contestant.architecture)
        if candidates is None:
            raise ValueError(f"{contestant.name} is not in the table {self.table.facts['name']}")
        return self.table.index(candidates)
