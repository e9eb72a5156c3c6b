"""S3PET: independent sigmoids, one global shift, and sort-and-fill (Hu et al. 2022)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from peftsearch.race import Trials
from peftsearch.space import SearchSpace
from peftsearch.strategies import base
from peftsearch.strategies.filling import filled
from peftsearch.supernet.gates import costs_of
from peftsearch.workspace import Workspace

STRATEGY = {
    "name": "s3pet",
    "title": "independent sigmoids under one global shift, sort and fill",
    "reference": "Hu et al. 2022 (arXiv 2206.07382); ours is first order unless search.bilevel "
    "says second, ranks of one method share tensors, and of the candidates of a site at most "
    "one is kept",
}

_BISECTIONS = 60


class ShiftedGates(nn.Module):
    """One logit per candidate; all are shifted alike until the expected cost is the budget.

    Attributes:
        alphas: Parameter (G, C), float64 on the CPU; those of ``none`` are unused.
    """

    costs: Tensor
    present: Tensor

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        costs, present = costs_of(space)
        self.register_buffer("costs", costs)
        self.register_buffer("present", present & (costs > 0))
        self.alphas = nn.Parameter(torch.zeros_like(costs))

    def open(self, limit: float) -> Tensor:
        """Return the probability of each candidate to be on, (G, C), with gradient."""
        shift = self._shift(limit)
        return torch.sigmoid(self.alphas + shift).masked_fill(~self.present, 0.0)

    @torch.no_grad()
    def _shift(self, limit: float) -> float:
        """Return the largest shift with an expected cost within the limit.

        The shift is a constant for the gradient: the paper's reparametrisation likewise only
        moves all logits together.
        """
        low, high = -50.0, 50.0
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            on = torch.sigmoid(self.alphas + middle).masked_fill(~self.present, 0.0)
            low, high = (middle, high) if float((on * self.costs).sum()) <= limit else (low, middle)
        return low

    def distribution(self, limit: float) -> tuple[Tensor, Tensor]:
        """Return the log-probability that a candidate is the one that is on, and no price."""
        on = self.open(limit)
        none = torch.where(self.present, 1 - on, 1.0).prod(-1, keepdim=True)
        share = on / on.sum(-1, keepdim=True).clamp_min(1e-300) * (1 - none)
        share = torch.cat([none, share[:, 1:]], dim=1)
        return share.clamp_min(1e-300).log(), torch.zeros(())

    def draw(self, count: int, temperature: float, exploration: float, limit: float) -> Tensor:
        """Return soft choices (S, G, C) of the binary concrete distribution; several may be on."""
        on = self.open(limit)
        uniform = torch.rand(count, *on.shape, dtype=on.dtype).clamp(1e-9, 1 - 1e-9)
        logits = torch.logit(on.clamp(1e-9, 1 - 1e-9)) + torch.logit(uniform)
        return torch.sigmoid(logits / temperature) * self.present


def search(work: Workspace) -> int:
    """Train for the whole allowance: there is no race."""
    return base.train_supernet(work, ShiftedGates(work.space), allowed=work.config.trainings)


def choose(work: Workspace, trials: Trials) -> base.Verdict:
    """Keep the most probable candidates that fit."""
    gates = ShiftedGates(work.space)
    base.restore_supernet(work, gates).remove()
    with torch.no_grad():
        on = gates.open(work.free)
    values = base.by_gate(work.space, on)
    return filled(work, "s3pet", values)
