"""Priced gates against finite differences and against what they promise."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from peftsearch.site import Site
from peftsearch.space import EMPTY, Candidate, Gate, SearchSpace
from peftsearch.supernet.gates import PricedGates, one_hot, sample

COSTS = ((0, 10, 40, 160), (0, 7), (0, 300, 900), (0, 55, 56, 3000))
LARGEST = sum(max(row) for row in COSTS)


def gates(seed: int = 0, spread: float = 1.0) -> PricedGates:
    """Gates of different widths, so that some entries are absent."""
    found = []
    for layer, row in enumerate(COSTS):
        site = Site("encoder", layer, "attention", ("q",))
        others = (Candidate("lora", i, ("q",), cost) for i, cost in enumerate(row[1:], 1))
        found.append(Gate(site, (EMPTY, *others)))
    made = PricedGates(SearchSpace("test", "", "one", tuple(found)))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        drawn = torch.randn(made.alphas.shape, generator=generator, dtype=torch.float64)
        made.alphas.copy_(drawn * spread)
    return made


def unpriced_cost(made: PricedGates) -> float:
    return float(made.expected_cost(made.log_prior()).detach())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.9, 0.5, 0.1, 0.01, 1e-4])
def test_the_expected_cost_meets_the_target(seed: int, share: float) -> None:
    made = gates(seed, spread=3.0)
    target = share * unpriced_cost(made)
    with torch.no_grad():
        log_q, price = made.priced(made.log_prior(), target)
    assert float(made.expected_cost(log_q)) == pytest.approx(target, rel=1e-9)
    assert float(made.expected_cost(log_q)) <= target * (1 + 1e-12)
    assert float(price) > 0
    assert bool((log_q.exp()[~made.present] == 0).all())
    assert log_q.exp().sum(-1).tolist() == pytest.approx([1.0] * len(COSTS))


def test_it_is_the_prior_tilted_by_one_price() -> None:
    made = gates(1)
    with torch.no_grad():
        log_p = made.log_prior()
        log_q, price = made.priced(log_p, 100.0)
    for g, row in enumerate(COSTS):
        shift = [
            float(log_q[g, c] - log_p[g, c]) + float(price) * cost for c, cost in enumerate(row)
        ]
        assert shift == pytest.approx([shift[0]] * len(row))


def test_no_price_where_the_budget_does_not_bind() -> None:
    made = gates(2)
    log_q, price = made.priced(made.log_prior(), float(LARGEST))
    assert float(price) == 0.0
    torch.testing.assert_close(log_q, made.log_prior())
    (grad,) = torch.autograd.grad(log_q[0, 1], made.alphas)
    (wanted,) = torch.autograd.grad(made.log_prior()[0, 1], made.alphas)
    torch.testing.assert_close(grad, wanted)


def test_without_alphas_and_price_every_candidate_is_as_likely() -> None:
    made = gates(spread=0.0)
    log_q, price = made.priced(made.log_prior(), float(LARGEST))
    assert price.item() == 0.0
    for g, row in enumerate(COSTS):
        assert log_q[g, : len(row)].exp().tolist() == pytest.approx([1 / len(row)] * len(row))
    assert torch.equal(log_q, made.uniform())


def _differences(function: Callable[[], Tensor], at: torch.nn.Parameter, step: float) -> Tensor:
    """Central differences in float64, of fourth order."""
    found = torch.zeros_like(at)
    with torch.no_grad():
        for index in range(at.numel()):
            value = at.view(-1)[index].clone()
            total = 0.0
            for k, weight in ((1, 8.0), (-1, -8.0), (2, -1.0), (-2, 1.0)):
                at.view(-1)[index] = value + k * step
                total += weight * float(function())
            at.view(-1)[index] = value
            found.view(-1)[index] = total / (12 * step)
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.8, 0.3, 0.03])
def test_gradients_equal_finite_differences(seed: int, share: float) -> None:
    """The gradient through the price, which a bisection finds, is exact."""
    made = gates(seed)
    target = share * unpriced_cost(made)
    weights = torch.randn(made.alphas.shape, dtype=torch.float64)
    weights = weights.masked_fill(~made.present, 0.0)

    def of_log_q() -> Tensor:
        log_q, _ = made.priced(made.log_prior(), target)
        return (weights * log_q.masked_fill(~made.present, 0.0)).sum()

    def of_price() -> Tensor:
        return made.priced(made.log_prior(), target)[1]

    for function in (of_log_q, of_price):
        (found,) = torch.autograd.grad(function(), made.alphas)
        wanted = _differences(function, made.alphas, 1e-3)
        error = float((found - wanted).norm() / wanted.norm())
        assert error < 1e-5, function.__name__
        assert bool((found[~made.present] == 0).all())


@pytest.mark.parametrize("share", [0.8, 0.3, 0.03])
def test_the_expected_cost_does_not_move(share: float) -> None:
    """Whatever the alphas do, the price takes it back: its gradient is zero."""
    made = gates(3)
    target = share * unpriced_cost(made)
    log_q, _ = made.priced(made.log_prior(), target)
    (gradient,) = torch.autograd.grad(made.expected_cost(log_q), made.alphas)
    assert float(gradient.abs().max()) < 1e-9 * target


@pytest.mark.parametrize("temperature", [5.0, 0.5, 0.05])
def test_samples_are_one_hot_and_carry_gradients(temperature: float) -> None:
    made = gates(4)
    log_q, _ = made.priced(made.log_prior(), 300.0)
    torch.manual_seed(0)
    drawn = sample(log_q, 50, temperature)
    assert drawn.shape == (50, *made.alphas.shape)
    assert set(drawn.detach().unique().tolist()) == {0.0, 1.0}
    assert bool((drawn.detach().sum(-1) == 1).all())
    assert bool((drawn.detach()[:, ~made.present] == 0).all())
    (gradient,) = torch.autograd.grad((drawn * made.costs).sum(), made.alphas)
    assert bool(gradient.isfinite().all())
    assert bool((gradient[made.present] != 0).any())


def test_samples_follow_the_distribution() -> None:
    made = gates(5)
    with torch.no_grad():
        log_q, _ = made.priced(made.log_prior(), 400.0)
        torch.manual_seed(0)
        share = sample(log_q, 20_000, 1.0).mean(0)
    assert float((share - log_q.exp()).abs().max()) < 0.015


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
@pytest.mark.parametrize("target", [30.0, 300.0, 1500.0, 1e6])
def test_exploring_stays_within_the_target(share: float, target: float) -> None:
    made = gates(6, spread=3.0)
    with torch.no_grad():
        log_q, _ = made.priced(made.log_prior(), target)
        mixed = made.explored(log_q, share, target)
    assert float(made.expected_cost(mixed)) <= target * (1 + 1e-9)
    assert mixed.exp().sum(-1).tolist() == pytest.approx([1.0] * len(COSTS))
    assert bool((mixed.exp()[~made.present] == 0).all())
    if share == 1.0:
        flat, _ = made.priced(made.uniform(), target)
        torch.testing.assert_close(mixed, flat.detach())
    if share == 0.0:
        assert torch.equal(mixed, log_q)


def test_extreme_alphas_stay_finite() -> None:
    made = gates(7, spread=300.0)
    log_q, price = made.priced(made.log_prior(), 50.0)
    assert bool(price.isfinite())
    loss = log_q.exp().masked_fill(~made.present, 0.0).square().sum() + price
    (gradient,) = torch.autograd.grad(loss, made.alphas)
    assert bool(gradient.isfinite().all())


def test_one_hot() -> None:
    assert one_hot([1, 0], 3).tolist() == [[[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]]
