"""Watching a search: how sure the gates are, whether they collapse, whether anything still moves.

Source of the concern: DARTS drifts to parameter-free operations (Zela et al. 2020, arXiv
1909.09656). Ours looks at what is decided, the knapsack's solution, not at eigenvalues.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from peftsearch.discretise import solve
from peftsearch.space import SearchSpace

#: Checks over a whole search.
CHECKS = 20
#: Share of the largest candidate of a gate below which a candidate counts as nearly free.
_NEARLY_FREE = 0.05
#: Logarithm of a probability that is as good as none; the solver wants finite numbers.
_LEAST = -700.0
#: Overlap of two solutions from which nothing has moved.
_SAME = 0.9


@dataclass
class Watch:
    """The state of the watch, a part of the checkpoint.

    Attributes:
        solution: Candidate index of each gate at the last check; empty before the first.
        steady: Checks in a row that found the same solution.
        latest: What the last check returned; empty before the first.
    """

    space: SearchSpace
    limit: int
    solution: list[int] = field(default_factory=list)
    steady: int = 0
    latest: dict[str, float] = field(default_factory=dict)

    def check(self, log_q: Tensor) -> None:
        """Note what the gates would choose now.

        ``cheap_mass`` is the mean probability of free and nearly free candidates, ``overlap``
        the share of the chosen candidates that were chosen at the check before (0 at the first).

        Args:
            log_q: (G, C) log-probabilities under the budget.
        """
        pairs = list(zip(log_q.tolist(), self.space.gates, strict=True))
        rows = [row[: len(gate.candidates)] for row, gate in pairs]
        values = [[max(value, _LEAST) for value in row] for row in rows]
        found = solve(self.space, values, self.limit)
        overlap = _overlap(found, self.solution) if self.solution else 0.0
        self.steady = self.steady + 1 if overlap >= _SAME else 0
        self.solution = found
        cheap = cheap_mass(self.space, log_q.exp().tolist())
        self.latest = {"cheap_mass": cheap, "overlap": overlap}

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"solution": self.solution, "steady": self.steady, "latest": self.latest}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put it back."""
        self.solution, self.steady = state["solution"], state["steady"]
        self.latest = state["latest"]


def cheap_mass(space: SearchSpace, shares: Sequence[Sequence[float]]) -> float:
    """Return the mean over the gates of the probability of what costs (nearly) nothing."""
    total = 0.0
    for row, gate in zip(shares, space.gates, strict=True):
        most = max(c.num_params for c in gate.candidates)
        cheap = [c.num_params <= _NEARLY_FREE * most for c in gate.candidates]
        total += sum(q for q, free in zip(row, cheap, strict=False) if free)
    return total / len(space.gates)


def _overlap(found: Sequence[int], before: Sequence[int]) -> float:
    """Return the Jaccard overlap of the (gate, candidate) pairs that are not ``none``."""
    new = {(g, i) for g, i in enumerate(found) if i}
    old = {(g, i) for g, i in enumerate(before) if i}
    return len(new & old) / len(new | old) if new | old else 1.0
