"""Which method and how large, apart, with Gumbel gates: BIPEFT (Chang et al. 2024)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from peftsearch.race import Trials
from peftsearch.space import SearchSpace
from peftsearch.strategies import base
from peftsearch.strategies.filling import filled
from peftsearch.supernet.gates import costs_of, masked_log_softmax, sample
from peftsearch.workspace import Workspace

STRATEGY = {
    "name": "gumbel",
    "title": "which method and how large in two kinds of Gumbel gates, sort and fill",
    "reference": "BIPEFT (Chang et al. 2024, arXiv 2410.09079); ours draws both kinds at once and "
    "does not stop early; the budget is kept exactly, theirs ends at or above it",
}


class FactorisedGates(nn.Module):
    """p(method, size) = p(method) p(size | method), without a price.

    Attributes:
        which: Parameter (G, M), float64: logits of the methods of each gate, ``none`` first.
        how_large: Parameter (G, C), float64: logits of the sizes within each method.
    """

    member: Tensor
    present: Tensor

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        costs, present = costs_of(space)
        methods = sorted({c.method for _, c in space.choices()}, key=lambda m: (m != "none", m))
        member = torch.zeros(len(space.gates), len(methods), costs.shape[1], dtype=torch.bool)
        for g, gate in enumerate(space.gates):
            for i, candidate in enumerate(gate.candidates):
                member[g, methods.index(candidate.method), i] = True
        self.register_buffer("member", member)
        self.register_buffer("present", present)
        self.which = nn.Parameter(torch.zeros(member.shape[:2], dtype=torch.float64))
        self.how_large = nn.Parameter(torch.zeros_like(costs))

    def log_p(self) -> Tensor:
        """Return the log-probability of every candidate, (G, C)."""
        methods = masked_log_softmax(self.which, self.member.any(-1))  # (G, M)
        logits = self.how_large.unsqueeze(1).expand(self.member.shape)
        sizes = masked_log_softmax(logits, self.member)  # (G, M, C)
        both = (methods.unsqueeze(-1) + sizes).masked_fill(~self.member, -torch.inf)
        return torch.logsumexp(both, dim=1)

    def distribution(self, limit: float) -> tuple[Tensor, Tensor]:
        """Return the log-probability of every candidate, and no price."""
        return self.log_p(), torch.zeros(())

    def draw(self, count: int, temperature: float, exploration: float, limit: float) -> Tensor:
        """Return hard choices (S, G, C) with straight-through gradients, whatever they cost."""
        return sample(self.log_p(), count, temperature)


def search(work: Workspace) -> int:
    """Train for the whole allowance: there is no race."""
    return base.train_supernet(work, FactorisedGates(work.space), allowed=work.config.trainings)


def choose(work: Workspace, trials: Trials) -> base.Verdict:
    """Keep the most probable candidates that fit."""
    gates = FactorisedGates(work.space)
    base.restore_supernet(work, gates).remove()
    with torch.no_grad():
        values = base.by_gate(work.space, gates.log_p().exp())
    return filled(work, "gumbel", values)
