"""Train everything at once, then keep what the loss would miss most, to first order."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from peftsearch import effort, ranks
from peftsearch.batches import Batches
from peftsearch.devices.reduce import summed
from peftsearch.devices.slices import slice_of
from peftsearch.errors import DivergedError
from peftsearch.race import Trials
from peftsearch.search.loop import search_seed
from peftsearch.seeds import derive
from peftsearch.session import finite
from peftsearch.space import SearchSpace
from peftsearch.strategies import base
from peftsearch.strategies.filling import filled
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
    order = Batches(len(rows), work.config.search.batch_size, seed)
    methods = list(supernet.weight_parameters())
    total = torch.zeros_like(gates.on)
    batches = effort.importance_batches(work.config)
    model.eval()
    try:
        for step in range(batches):
            picked = slice_of([rows[i] for i in order.indices(step)], work.format.terms)
            choices = gates.on.unsqueeze(0).clone().requires_grad_()
            supernet.set(choices, len(picked.rows))
            batch = work.session.to_device(work.format.collate(picked.rows))
            with work.session.accelerator.autocast():
                loss = picked.weighted(work.format.loss(model, batch))
            if not finite(ranks.total(float(loss.detach()))):
                raise DivergedError(
                    f"The supernet diverged: its loss on search-valid is {float(loss.detach())}.",
                    divergence_hint(work.config, methods),
                )
            (gradient,) = summed(torch.autograd.grad(loss, [choices]))
            total += gradient[0].abs() / batches
        work.charged += effort.gate_trainings(work.config, batches)
    finally:
        supernet.remove()
    return base.by_gate(work.space, total)
