"""The supernet: the frozen backbone with every candidate of every gate inserted and masked.

Candidates that differ in size only share one set of tensors (a bank) of the largest size: size
k is its first k ranks, units or positions. A hard pattern of gates therefore *is* the
stand-alone architecture, up to the entries that are masked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from peftsearch.architecture import Choice
from peftsearch.backbones.base import Backbone
from peftsearch.injection import Insertion, insert_choice, remove_all
from peftsearch.space import Candidate, Gate, SearchSpace
from peftsearch.supernet.gates import Gates, PricedGates


@dataclass(frozen=True)
class Bank:
    """The candidates of one gate that share tensors.

    Attributes:
        gate: Index of the gate.
        candidates: Indices of the candidates within the gate.
        reach: (number of candidates, largest size); row i has ones for the part that candidate
            i switches on.
        insertion: The layers, of the largest size.
    """

    gate: int
    candidates: tuple[int, ...]
    reach: Tensor
    insertion: Insertion

    @property
    def method(self) -> str:
        """The method of every candidate of the bank."""
        return self.insertion.choice.method

    def chosen(self, choices: Tensor) -> Tensor:
        """Return the part of the choices (S, G, C) that is about this bank: (S, candidates)."""
        return choices[:, self.gate][:, list(self.candidates)]

    def set(
        self,
        choices: Tensor,
        rows: int,
        places: range,
        weight: float | None,
        owners: Tensor | None = None,
    ) -> None:
        """Switch on what the choices say, for batches of ``rows`` examples.

        Args:
            choices: (S, G, C), one-hot.
            rows: Examples in the batch.
            places: Those of them that are run.
            weight: Factor of the gradient that reaches the choices; ``None``: do not execute.
            owners: Example of each row that the model sees; ``None``: each is one.
        """
        for layer in self.insertion.layers.values():
            layer.active = weight is not None
        if weight is None:
            return
        _, parameter = next(self.insertion.tensors())
        # Soft gates may have several sizes on at once; a mask is 1 at most.
        reached = (self.chosen(choices) @ self.reach).clamp(max=1.0).float()  # (S, size)
        mask = reached.to(parameter.device).unsqueeze(1)
        if weight != 1:  # only of a bank that is off: zero stays zero
            mask = mask * weight
        if len(choices) > 1:
            at = torch.tensor(places)
            at = at if owners is None else at[owners.cpu()]
            mask = mask[at * len(choices) // rows]  # (B, 1, size)
        for layer in self.insertion.layers.values():
            layer.mask = mask


class Supernet:
    """All banks on one backbone, and the gates over them.

    Args:
        backbone: The frozen model; used in place, never copied.
        space: The space, already within the budget.
        gates: The architecture parameters; by default priced gates.
        kept: Choices at other sites, always on.
    """

    def __init__(
        self,
        backbone: Backbone,
        space: SearchSpace,
        gates: Gates | None = None,
        kept: Sequence[Choice] = (),
    ) -> None:
        self.backbone = backbone
        self.space = space
        self.gates: Gates = PricedGates(space) if gates is None else gates
        self.width = max(len(gate.candidates) for gate in space.gates)
        by_site = {host.site.id: host for host in backbone.hosts}
        self.kept = [insert_choice(by_site[choice.site], choice) for choice in kept]
        self.banks: list[Bank] = []
        self._probes: set[int] = set()
        for g, gate in enumerate(space.gates):
            for indices in _families(gate):
                members = [gate.candidates[i] for i in indices]
                choice = _largest(gate, members)
                insertion = insert_choice(by_site[gate.site.id], choice)
                self.banks.append(Bank(g, indices, _reach(members), insertion))

    def arch_parameters(self) -> list[nn.Parameter]:
        """Return the architecture parameters."""
        return [parameter for _, parameter in self.gates.named_parameters()]

    def weight_parameters(self) -> dict[str, list[nn.Parameter]]:
        """Return the trained weights by method."""
        groups: dict[str, list[nn.Parameter]] = {}
        for insertion in (*self.kept, *(bank.insertion for bank in self.banks)):
            group = groups.setdefault(insertion.choice.method, [])
            group.extend(parameter for _, parameter in insertion.tensors())
        return groups

    def named_weights(self) -> dict[str, nn.Parameter]:
        """Return every weight by a stable name."""
        named = [(f"{bank.gate:04d}", bank.insertion) for bank in self.banks]
        named += [("kept", insertion) for insertion in self.kept]
        return {
            f"{where}/{insertion.key}/{name}": parameter
            for where, insertion in named
            for name, parameter in insertion.tensors()
        }

    def set(
        self,
        choices: Tensor,
        rows: int,
        *,
        probed: float = 0.0,
        places: range | None = None,
        owners: Tensor | None = None,
        again: bool = False,
    ) -> None:
        """Put hard choices (S, G, C) on the model.

        With S > 1 the examples of a batch of ``rows`` run different architectures, in
        consecutive blocks.

        Args:
            choices: One-hot in value; may carry straight-through gradients.
            rows: Examples in the batch.
            probed: Share of the banks switched off that are executed too, masked, so that
                gradients reach their gates. They are drawn anew at every call, and their
                gradients weighted by one over their share, so that in expectation the gradient
                is that of executing all of them, at a fraction of the time and memory.
            places: Those of the examples that are run next, by default all.
            owners: Of each row that the model sees, which of them it belongs to, where an example
                is several rows; ``None``: each is one.
            again: Whether to probe what was probed last, for another portion of the same batch.
        """
        on = [bool(bank.chosen(choices.detach()).any()) for bank in self.banks]
        off = [i for i, active in enumerate(on) if not active]
        count = math.ceil(probed * len(off))
        if not again:
            order = torch.randperm(len(off))[:count].tolist() if count else []
            self._probes = {off[i] for i in order}
        for i, bank in enumerate(self.banks):
            probe = len(off) / count if i in self._probes else None
            bank.set(choices, rows, places or range(rows), 1.0 if on[i] else probe, owners)

    def remove(self) -> None:
        """Take everything off the backbone."""
        remove_all([*self.kept, *(bank.insertion for bank in self.banks)])


def _families(gate: Gate) -> list[tuple[int, ...]]:
    """Group a gate's candidates by method and modules; ``none`` has no layers."""
    groups: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for index, candidate in enumerate(gate.candidates):
        if candidate.num_params:
            groups.setdefault((candidate.method, candidate.modules), []).append(index)
    return [tuple(indices) for indices in groups.values()]


def _largest(gate: Gate, members: Sequence[Candidate]) -> Choice:
    biggest = max(members, key=lambda candidate: candidate.size)
    return Choice(gate.site.id, biggest.method, biggest.size, biggest.modules, biggest.num_params)


def _reach(members: Sequence[Candidate]) -> Tensor:
    largest = max(candidate.size for candidate in members)
    sizes = torch.tensor([candidate.size for candidate in members])
    return (torch.arange(largest).unsqueeze(0) < sizes.unsqueeze(1)).double()
