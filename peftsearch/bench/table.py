"""A finished table: the true score of every architecture, and how good a choice was. Torch-free.

The seed whose selection scores a strategy may see never counts towards the truth it is judged
by: truth is the mean test score over the other seeds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from peftsearch.bench.spec import FACTS, RUNGS, SCORES
from peftsearch.errors import MissingError
from peftsearch.space import SearchSpace

Numbers = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def label(candidates: Sequence[int]) -> str:
    """Return the form of an architecture in ``scores.csv``, e.g. ``0-3-1-2``."""
    return "-".join(map(str, candidates))


def at(share: float) -> str:
    """Return the column with the selection score after a share of the steps."""
    return f"at_{share:g}"


@dataclass(frozen=True)
class Table:
    """Scores of all N architectures of a small space over K seeds.

    Attributes:
        facts: Content of ``table.json``.
        rows: Content of ``scores.csv``; every architecture has every seed.
    """

    facts: dict[str, Any]
    rows: pd.DataFrame

    @classmethod
    def read(cls, folder: Path) -> Table:
        """Read a table; seeds that are not complete yet are left out.

        Raises:
            MissingError: Not even one seed is complete.
        """
        path = folder / SCORES
        rows = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=["seed"])
        facts = json.loads((folder / FACTS).read_text()) if rows.size else {}
        table = cls(facts, rows)
        counts = rows["seed"].value_counts()
        complete = [seed for seed, n in counts.items() if n == table.num_architectures]
        if not complete:
            raise MissingError(
                f"The table {folder.name} is not built.", f"peftsearch bench build {folder.name}"
            )
        return cls(facts, rows[rows["seed"].isin(complete)])

    @cached_property
    def fingerprint(self) -> str:
        """What all scores hang on, in hexadecimal, whatever the order of the rows."""
        rows = self.rows.sort_values(["seed", "architecture"]).drop(columns="seconds")
        content = json.dumps(self.facts, sort_keys=True) + rows.to_csv(index=False)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @cached_property
    def space(self) -> SearchSpace:
        """The space."""
        return SearchSpace.from_json(self.facts["space"])

    @property
    def num_architectures(self) -> int:
        """How many architectures the space has."""
        return int(np.prod([len(gate.candidates) for gate in self.space.gates]))

    @cached_property
    def seeds(self) -> list[int]:
        """The training seeds."""
        return sorted(int(seed) for seed in self.rows["seed"].unique())

    @cached_property
    def labels(self) -> list[str]:
        """Every architecture as written, in sorted order; the index of all arrays."""
        return sorted(set(self.rows["architecture"]))

    @cached_property
    def architectures(self) -> list[tuple[int, ...]]:
        """Every architecture as candidate indices."""
        return [tuple(map(int, text.split("-"))) for text in self.labels]

    @cached_property
    def num_params(self) -> Numbers:
        """Parameters of every architecture, (N,)."""
        return self._column("num_params")[:, 0]

    def index(self, candidates: Sequence[int]) -> int:
        """Return the place of an architecture in the arrays."""
        return self._places[label(candidates)]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {text: i for i, text in enumerate(self.labels)}

    def _column(self, name: str) -> Numbers:
        wide = self.rows.pivot(index="architecture", columns="seed", values=name)
        return wide.loc[self.labels, self.seeds].to_numpy(dtype=float)

    @cached_property
    def selection(self) -> dict[float, Numbers]:
        """Selection scores by share of the training, each (N, K)."""
        return {share: self._column(at(share)) for share in RUNGS}

    @cached_property
    def test(self) -> Numbers:
        """Test scores, (N, K)."""
        return self._column("test")

    @property
    def core_hours(self) -> float:
        """Processor time of all trainings."""
        return float(np.sum(self._column("seconds")) / 3600)

    def truth(self, seen: int) -> Numbers:
        """Return the mean test score over all seeds but the one seen, (N,).

        With a single seed there is no other, and its own test scores are returned.
        """
        others = [k for k, seed in enumerate(self.seeds) if seed != seen] or [0]
        return np.asarray(self.test[:, others].mean(axis=1))

    def fits(self, limit: int) -> Mask:
        """Which architectures are within a limit, (N,)."""
        return np.asarray(self.num_params <= limit)


def percentile(chosen: int, scores: Numbers, among: Mask) -> float:
    """Return the share of the other architectures that are worse, in percent; ties count half."""
    others = scores[among].tolist()
    others.remove(scores[chosen])
    if not others:
        return 100.0
    worse = sum(s < scores[chosen] for s in others) + sum(s == scores[chosen] for s in others) / 2
    return float(100 * worse / len(others))


def regret(chosen: int, scores: Numbers, among: Mask) -> float:
    """Return by how many points the best architecture beats the chosen one."""
    return float(100 * (scores[among].max() - scores[chosen]))


def agreement(predicted: Numbers, scores: Numbers, among: Mask) -> float:
    """Return Kendall's tau-b between predicted and true scores; 0 where one is constant."""
    from scipy.stats import kendalltau

    ours, theirs = predicted[among], scores[among]
    if np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return 0.0
    return float(kendalltau(ours, theirs).statistic)


def additive(table: Table, values: Sequence[Sequence[float]]) -> Numbers:
    """Return the sum of the values of each architecture's candidates, (N,)."""
    chosen = np.array(table.architectures)  # (N, gates)
    columns = [np.array(row)[chosen[:, g]] for g, row in enumerate(values)]
    return np.asarray(np.sum(columns, axis=0))


@dataclass(frozen=True)
class Ceiling:
    """What an oracle reaches that sees one seed of every architecture and is judged by the others.

    Attributes:
        percentile: Median over the seeds.
        regret: Median over the seeds, in points.
        tau: Median over the seeds.
    """

    percentile: float
    regret: float
    tau: float


def ceiling(table: Table, limit: int) -> Ceiling:
    """Return the noise ceiling at a limit: the best that training everything once would give."""
    among = table.fits(limit)
    found = []
    for k, seed in enumerate(table.seeds):
        seen, truth = table.selection[1.0][:, k], table.truth(seed)
        best = int(np.where(among, seen, -np.inf).argmax())
        found.append(
            (
                percentile(best, truth, among),
                regret(best, truth, among),
                agreement(seen, truth, among),
            )
        )
    return Ceiling(*(float(np.median(column)) for column in zip(*found, strict=True)))
