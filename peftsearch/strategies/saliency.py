"""Train everything at once, then keep what the loss would miss most, to first order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from peftsearch import effort, ranks
from peftsearch.devices.reduce import summed
from peftsearch.devices.slices import slice_of
from peftsearch.errors import DivergedError
from peftsearch.formats import Feature
from peftsearch.race import Trials
from peftsearch.search.loop import search_seed
from peftsearch.seeds import derive
from peftsearch.session import finite
from peftsearch.space import SearchSpace
from peftsearch.strategies import base
from peftsearch.strategies.filling import filled
from peftsearch.supernet.supernet import Supernet
from peftsearch.training import divergence_hint
from peftsearch.values import Values
from peftsearch.workspace import Workspace

STRATEGY = {
    "name": "saliency",
    "title": "train everything, keep by first-order importance",
    "reference": "Lawton et al. 2023 (arXiv 2305.16597); ours measures whole candidates on "
    "search-valid, by the gradient of their masks",
}


class EverythingOn(nn.Module):
    """No architecture parameters: the largest candidate of every method is on at every gate."""

    on: Tensor

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        width = max(len(gate.candidates) for gate in space.gates)
        on = torch.zeros(len(space.gates), width, dtype=torch.float64)
        for g, gate in enumerate(space.gates):
            kinds = {(c.method, c.modules) for c in gate.candidates if c.num_params}
            for kind in kinds:
                members = [
                    i for i, c in enumerate(gate.candidates) if (c.method, c.modules) == kind
                ]
                on[g, max(members, key=lambda i: gate.candidates[i].size)] = 1.0
        self.register_buffer("on", on)

    def distribution(self, limit: float) -> tuple[Tensor, Tensor]:
        """Return equal shares of what is on."""
        shares = self.on / self.on.sum(-1, keepdim=True)
        return shares.clamp_min(1e-300).log(), torch.zeros(())

    def draw(self, count: int, temperature: float, exploration: float, limit: float) -> Tensor:
        """Return the same choices always, (S, G, C)."""
        return self.on.expand(count, *self.on.shape)


def search(work: Workspace) -> int:
    """Train all weights together for what measuring importance leaves of the allowance."""
    gates = EverythingOn(work.space)
    batches = effort.importance_batches(work.config)
    allowed = work.config.trainings - effort.gate_trainings(work.config, batches)
    return base.train_supernet(work, gates, train_gates=False, allowed=allowed)


def choose(work: Workspace, trials: Trials) -> base.Verdict:
    """Keep the most important candidates that fit."""
    return filled(work, "saliency", importance(work))


def importance(work: Workspace, number: int = 0) -> Values:
    """Return for each candidate the mean of |d loss / d mask|: what taking it away would change.

    Args:
        work: The run.
        number: Which of its searches is asked.

    Raises:
        DivergedError: The loss is not finite.
    """
    gates = EverythingOn(work.space)
    supernet = base.restore_supernet(work, gates, number)
    rows, model = work.features.search_valid, work.backbone.model
    seed = derive(search_seed(work.config, number), "saliency")
    order = work.session.batches(rows, work.config.search.batch_size, seed)
    methods = list(supernet.weight_parameters())
    total = torch.zeros_like(gates.on)
    batches = effort.importance_batches(work.config)
    model.eval()
    try:
        for step in range(batches):
            picked = [rows[i] for i in order.indices(step)]
            passes = partial(_gradient, work, supernet, gates.on, picked)
            gradient, loss = work.session.portions.whole(len(picked), passes)
            loss = ranks.total(loss)
            if not finite(loss):
                raise DivergedError(
                    f"The supernet diverged: its loss on search-valid is {loss}.",
                    divergence_hint(work.config, methods),
                )
            total += summed([gradient])[0].abs() / batches
        work.charged += effort.gate_trainings(work.config, batches)
    finally:
        supernet.remove()
    return base.by_gate(work.space, total)


def _gradient(
    work: Workspace,
    supernet: Supernet,
    on: Tensor,
    rows: Sequence[Feature],
    portions: Sequence[range],
) -> tuple[Tensor, float]:
    """Return d loss / d mask (G, C), and the loss, as far as this process computes them."""
    gradient, total = torch.zeros_like(on), 0.0
    for portion in portions:
        own = slice_of(rows, work.format.terms, portion)
        choices = on.unsqueeze(0).clone().requires_grad_()
        supernet.set(choices, len(own.rows))
        batch = work.session.to_device(work.format.collate(own.rows))
        with work.session.accelerator.autocast():
            loss = own.weighted(work.format.loss(work.backbone.model, batch))
        gradient += torch.autograd.grad(loss, [choices])[0][0]
        total += float(loss.detach())
    return gradient, total
