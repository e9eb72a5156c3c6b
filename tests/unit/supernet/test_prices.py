"""Several prices: optimality conditions, gradients, and today's answer where one row binds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from peftsearch.resources import Resource, Shared
from peftsearch.site import Site
from peftsearch.space import Candidate, Gate, SearchSpace
from peftsearch.supernet import prices
from peftsearch.supernet.gates import PricedGates

COSTS = ((10, 40, 160), (7,), (300, 900), (55, 56, 3000), (80, 90))
LARGEST = sum(max(row) for row in COSTS)


def gates(seed: int, size: float, per_layer: float, flops: float) -> PricedGates:
    """Gates in two layers, with three further resources."""
    generator = torch.Generator().manual_seed(seed)
    shared = (Shared(50.0, frozenset({("encoder", 0)})),)
    resources = (
        Resource("bytes", "bytes", "", size),
        Resource("modules_per_layer", "", "", per_layer, per_layer=True),
        Resource("flops", "", "", flops, shared=shared),
    )
    found = []
    for index, row in enumerate(COSTS):
        site = Site("encoder", index % 2, ("attention", "feed_forward", "norm")[index // 2], ("q",))
        more = torch.rand(len(row), 2, generator=generator).tolist()
        others = (
            Candidate("lora", i, ("q",), cost, (4 * cost + 100 * a, 1.0, 30 * b))
            for i, (cost, (a, b)) in enumerate(zip(row, more, strict=True), 1)
        )
        found.append(Gate(site, (Candidate("none", 0, (), 0, (0.0, 0.0, 0.0)), *others)))
    made = PricedGates(SearchSpace("test", "", "one", tuple(found), resources=resources))
    with torch.no_grad():
        made.alphas.copy_(torch.randn(made.alphas.shape, generator=generator).double())
    return made


CASES = [(4000.0, 1.0, 60.0), (900.0, 5.0, 1e9), (1e9, 0.5, 30.0), (9000.0, 1.5, 90.0)]


def expected(made: PricedGates, log_q: Tensor) -> Tensor:
    costs = torch.cat([made.costs.unsqueeze(0), made.more_costs])
    return (log_q.exp() * costs).sum((-1, -2))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("target", [100.0, 800.0, float(LARGEST)])
def test_optimality_conditions(case: tuple[float, ...], seed: int, target: float) -> None:
    """Primal and dual feasible, complementary, and the prior tilted by prices: so it is optimal."""
    made = gates(seed, *case)
    with torch.no_grad():
        log_p = made.log_prior()
        log_q, found = made._priced_by_several(log_p, target)
        targets = torch.cat([torch.tensor([target]).double(), made.more_targets])
        slack = 1 - expected(made, log_q) / targets
        assert float(slack.min()) > -1e-10
        assert bool((found >= 0).all())
        assert float((slack * (found > 0)).abs().max()) < 1e-10
        costs = torch.cat([made.costs.unsqueeze(0), made.more_costs])
        shift = log_q - log_p + torch.tensordot(found, costs, dims=1)
        shift = shift.masked_fill(~made.present, float("nan"))
        spread = [
            row[there].max() - row[there].min()
            for row, there in zip(shift, made.present, strict=True)
        ]
        assert float(torch.stack(spread).max()) < 1e-9


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(2))
def test_gradients_equal_finite_differences(case: tuple[float, ...], seed: int) -> None:
    made = gates(seed, *case)
    weights = torch.randn(made.alphas.shape).double().masked_fill(~made.present, 0.0)

    def value() -> Tensor:
        log_q, price = made.priced(made.log_prior(), 400.0)
        return (weights * log_q.masked_fill(~made.present, 0.0)).sum() + 50 * price

    (found,) = torch.autograd.grad(value(), made.alphas)
    wanted = torch.zeros_like(found)
    with torch.no_grad():
        for index in range(wanted.numel()):
            at = made.alphas.view(-1)[index].clone()
            for k, weight in ((1, 8.0), (-1, -8.0), (2, -1.0), (-2, 1.0)):
                made.alphas.view(-1)[index] = at + k * 1e-3
                wanted.view(-1)[index] += weight * float(value()) / 12e-3
            made.alphas.view(-1)[index] = at
    assert float((found - wanted).norm() / wanted.norm()) < 1e-5


@pytest.mark.parametrize("share", [0.9, 0.3, 0.01])
def test_one_row_gives_the_answer_of_one_price(share: float) -> None:
    """A row that never runs out is not there; one that hardly does changes no digit."""
    plain = gates(1, 1e12, 100.0, 1e12)
    assert plain.names == ()
    with torch.no_grad():
        target = share * float(plain.expected_cost(plain.log_prior()))
        wanted, price = plain.priced(plain.log_prior(), target)
        several, found = plain._priced_by_several(plain.log_prior(), target)
        torch.testing.assert_close(several, wanted, rtol=1e-11, atol=1e-11)
        assert float(found[0]) == pytest.approx(float(price), rel=1e-11)
        loose = gates(1, 4 * LARGEST, 100.0, 1e12)
        assert loose.names == ("bytes",)
        torch.testing.assert_close(
            loose.priced(loose.log_prior(), target)[0], wanted, rtol=1e-11, atol=1e-11
        )


def test_the_same_row_twice_has_prices_that_add_up() -> None:
    log_p = torch.log_softmax(torch.randn(6, 4).double(), -1)
    costs = torch.rand(1, 6, 4).double()
    costs[..., 0] = 0
    target = torch.tensor([0.5]).double()
    one = prices.solve(log_p, costs, target)
    two = prices.solve(log_p, torch.cat([costs, 4 * costs]), torch.cat([target, 4 * target]))
    assert float(two[0] + 4 * two[1]) == pytest.approx(float(one[0]), rel=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_hard_instances(seed: int) -> None:
    """Sharp priors, targets far below what is expected, costs of different magnitude."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    rows = 1 + seed % 6
    log_p = torch.log_softmax(torch.randn(8, 5, generator=generator).double() * 6, -1)
    costs = drawn(rows, 8, 5) * 10 ** (6 * drawn(rows, 1, 1))
    costs[..., 0] = 0
    targets = prices.expected(log_p, costs) * 10 ** (-3 * drawn(rows))
    found = prices.solve(log_p, costs, targets)
    slack = 1 - prices.expected(prices.tilted(log_p, costs, found), costs) / targets
    assert float(slack.min()) > -1e-9
    assert float((slack * (found > 0)).abs().max()) < 1e-9
