"""Priced gates: the architecture parameters, and the price that keeps them in budget.

A gate's alphas a give p = softmax(a) over its candidates. All gates share one price per
parameter, so that the expected cost meets the target:

    q_o  ~  p_o * exp(-price * c_o),     price >= 0,   E_q[cost] <= target

which is the distribution closest to p (in Kullback-Leibler divergence) within the target: a
multiple-choice knapsack with entropy. Discretisation solves the same knapsack without. Where more
than parameters is limited, every further row has a price of its own (:mod:`.prices`).

Source: ours. S3PET (Hu et al. 2022, arXiv 2206.07382) shifts every gate by the same amount
whatever it costs; here a candidate pays for each of its parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from peftsearch.rows import rows, spread
from peftsearch.space import SearchSpace
from peftsearch.supernet import prices

_BISECTIONS = 80


class Gates(Protocol):
    """What the search needs of architecture parameters; a strategy may bring its own."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the architecture parameters by name."""
        ...

    def distribution(self, limit: float) -> tuple[Tensor, Tensor]:
        """Return the log-probability of every candidate (G, C), and the price, if any, else 0."""
        ...

    def draw(self, count: int, temperature: float, exploration: float, limit: float) -> Tensor:
        """Return choices (S, G, C), with gradients; equal random numbers give equal choices."""
        ...


class PricedGates(nn.Module):
    """The architecture parameters of a space, G gates of at most C candidates.

    Attributes:
        alphas: Parameter (G, C), float64 on the CPU; entries of absent candidates are unused.
        costs: (G, C) parameters of each candidate.
        present: (G, C) whether the candidate exists.
        more_costs: (K, G, C) costs in further resources; only those that may run out.
        more_targets: (K,) what there is of each.
        names: Names of those resources.
    """

    costs: Tensor
    present: Tensor
    more_costs: Tensor
    more_targets: Tensor

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        costs, present = costs_of(space)
        self.alphas = nn.Parameter(torch.zeros_like(costs))
        self.register_buffer("costs", costs)
        self.register_buffer("present", present)
        further, targets, self.names = _further(space, present)
        self.register_buffer("more_costs", further)
        self.register_buffer("more_targets", targets)

    def log_prior(self) -> Tensor:
        """Return log p (G, C), minus infinity where there is no candidate."""
        return masked_log_softmax(self.alphas, self.present)

    def uniform(self) -> Tensor:
        """Return the log of the uniform distribution (G, C)."""
        return masked_log_softmax(torch.zeros_like(self.costs), self.present)

    def expected_cost(self, log_q: Tensor) -> Tensor:
        """Return the expected number of parameters, a scalar."""
        return (log_q.exp() * self.costs).sum()

    def priced(self, log_p: Tensor, target: float) -> tuple[Tensor, Tensor]:
        """Tilt a distribution to the target.

        The price is found by bisection; one Newton step at the solution, whose value is zero,
        carries the exact implicit gradient d price / d alphas = q (c - E[c]) / sum Var(c).

        Args:
            log_p: (G, C) log-probabilities, with gradient.
            target: Largest expected cost.

        Returns:
            log q (G, C) and the price of a parameter, a scalar >= 0, both differentiable.
        """
        if len(self.names):
            log_q, found = self._priced_by_several(log_p, target)
            return log_q, found[0]
        price = torch.tensor(self._solve(log_p.detach(), target), dtype=torch.float64)
        if price > 0:
            at_price = self._tilt(log_p, price)
            q = at_price.detach().exp()
            mean = (q * self.costs).sum(-1, keepdim=True)
            variance = (q * (self.costs - mean) ** 2).sum()
            if variance > 0:
                gap = self.expected_cost(at_price) - self.expected_cost(at_price).detach()
                price = price + gap / variance
        return self._tilt(log_p, price), price

    def _priced_by_several(self, log_p: Tensor, target: float) -> tuple[Tensor, Tensor]:
        """Tilt a distribution to every target; the prices (1 + K,) are of parameters first.

        As with one price, a Newton step at the solution carries the gradient: that of the prices
        above zero, with the covariance of their costs in place of the variance.
        """
        costs = torch.cat([self.costs.unsqueeze(0), self.more_costs])
        targets = torch.cat([self.costs.new_tensor([target]), self.more_targets])
        found = prices.solve(log_p.detach(), costs, targets)
        paid = found > 0
        if paid.any():
            unit = costs[paid] / targets[paid].view(-1, 1, 1)
            at_prices = prices.tilted(log_p, costs, found)
            gap = prices.expected(at_prices, unit)
            inverse = prices.pseudo_inverse(prices.covariance(at_prices.detach(), unit))
            moved = inverse @ (gap - gap.detach()) / targets[paid]
            found = found.index_add(0, paid.nonzero().flatten(), moved)
        return prices.tilted(log_p, costs, found), found

    @torch.no_grad()
    def prices(self, limit: float) -> dict[str, float]:
        """Return the price of each resource by name; of one per layer the sum over the layers."""
        if not len(self.names):
            return {"parameters": float(self.distribution(limit)[1])}
        _, found = self._priced_by_several(self.log_prior(), limit)
        total: dict[str, float] = {}
        for name, price in zip(("parameters", *self.names), found.tolist(), strict=True):
            total[name] = total.get(name, 0.0) + price
        return total

    def _tilt(self, log_p: Tensor, price: Tensor) -> Tensor:
        return masked_log_softmax(log_p - price * self.costs, self.present)

    def _solve(self, log_p: Tensor, target: float) -> float:
        """Return the least price at which the expected cost is within the target."""

        def excess(price: float) -> float:
            tilted = self._tilt(log_p, torch.tensor(price, dtype=torch.float64))
            return float(self.expected_cost(tilted)) - target

        if excess(0.0) <= 0:
            return 0.0
        low, high = 0.0, 1.0 / max(target, 1.0)
        while excess(high) > 0:
            low, high = high, high * 2
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if excess(middle) > 0 else (low, middle)
            if high - low <= 1e-15 * high:
                break
        return high

    def explored(self, log_q: Tensor, share: float, target: float) -> Tensor:
        """Mix with the uniform distribution tilted to the same target.

        Args:
            log_q: (G, C) log-probabilities.
            share: Weight of the uniform part in [0, 1].
            target: Largest expected cost of either part.
        """
        if share <= 0:
            return log_q
        flat, _ = self.priced(self.uniform(), target)
        mixed = (1 - share) * log_q.exp() + share * flat.detach().exp()
        return mixed.clamp_min(1e-300).log().masked_fill(~self.present, -torch.inf)

    def distribution(self, limit: float) -> tuple[Tensor, Tensor]:
        """Return what is drawn from without exploration: log q (G, C), and the price."""
        return self.priced(self.log_prior(), limit)

    def draw(self, count: int, temperature: float, exploration: float, limit: float) -> Tensor:
        """Draw hard choices, (S, G, C), with straight-through gradients.

        Args:
            count: Number S of architectures.
            temperature: Of the relaxation, > 0.
            exploration: Share of uniform sampling, in [0, 1].
            limit: The budget that the expected cost keeps.
        """
        log_q, _ = self.distribution(limit)
        return sample(self.explored(log_q, exploration, limit), count, temperature)


def costs_of(space: SearchSpace) -> tuple[Tensor, Tensor]:
    """Return the parameters of every candidate (G, C), and whether it exists (G, C)."""
    shape = (len(space.gates), max(len(gate.candidates) for gate in space.gates))
    costs = torch.zeros(shape, dtype=torch.float64)
    present = torch.zeros(shape, dtype=torch.bool)
    for g, gate in enumerate(space.gates):
        present[g, : len(gate.candidates)] = True
        for c, candidate in enumerate(gate.candidates):
            costs[g, c] = candidate.num_params
    return costs, present


def _further(space: SearchSpace, present: Tensor) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Return costs (K, G, C), targets (K,) and names of the rows that may run out."""
    costs, targets, names = [], [], []
    for row in rows(space):
        table = torch.zeros(present.shape, dtype=torch.float64)
        table[present] = torch.from_numpy(spread(space, row))
        if float(table.amax(-1).sum()) > row.limit:
            costs.append(table)
            targets.append(row.limit)
            names.append(row.name)
    stacked = torch.stack(costs) if costs else torch.zeros(0, *present.shape, dtype=torch.float64)
    return stacked, torch.tensor(targets, dtype=torch.float64), tuple(names)


def masked_log_softmax(logits: Tensor, present: Tensor) -> Tensor:
    """Return log-softmax over the last dimension among the entries that are present."""
    return torch.log_softmax(logits.masked_fill(~present, -torch.inf), dim=-1)


def sample(log_q: Tensor, count: int, temperature: float) -> Tensor:
    """Draw hard one-hot choices with straight-through Gumbel gradients.

    Args:
        log_q: (G, C) log-probabilities, minus infinity where there is no candidate.
        count: Number S of architectures.
        temperature: Of the relaxation in the backward pass, > 0.

    Returns:
        (S, G, C) of exact zeros and ones in value.

    Source: Jang et al. 2017, arXiv 1611.01144; hard forward as in GDAS (Dong and Yang 2019).
    """
    noise = -torch.log(-torch.log(torch.rand(count, *log_q.shape, dtype=log_q.dtype) + 1e-20))
    scores = log_q.unsqueeze(0) + noise
    soft = torch.softmax(scores / temperature, dim=-1)
    hard = torch.zeros_like(soft).scatter_(-1, scores.argmax(-1, keepdim=True), 1.0)
    return hard + (soft - soft.detach())


def one_hot(choices: list[int], width: int) -> Tensor:
    """Return (1, G, C) for one candidate index per gate."""
    index = torch.tensor(choices).view(1, -1, 1)
    shape = (1, len(choices), width)
    return torch.zeros(shape, dtype=torch.float64).scatter_(-1, index, 1.0)
