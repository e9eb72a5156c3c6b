"""Hypergradients of a quadratic bilevel problem, whose closed form is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from peftsearch.search import hypergradient

SHAPES = ((4, 3), (5,), (2, 2))
RATES = (0.3, 0.02, 1.7)


class Quadratic:
    """L_tr = w'Pw/2 + w'Qa + a'Ra/2, L_val = w'Sw/2 + t'w + w'Ua + v'a, w in several tensors."""

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        n, m = sum(torch.Size(shape).numel() for shape in SHAPES), 6
        self.weights = [nn.Parameter(torch.randn(shape, dtype=torch.float64)) for shape in SHAPES]
        self.arch = [nn.Parameter(torch.randn(k, dtype=torch.float64)) for k in (2, 4)]
        self.p, self.s = (self._symmetric(n) for _ in range(2))
        self.r = self._symmetric(m)
        self.q, self.u = (torch.randn(n, m, dtype=torch.float64) for _ in range(2))
        self.t, self.v = torch.randn(n, dtype=torch.float64), torch.randn(m, dtype=torch.float64)
        self.rates = torch.cat(
            [torch.full((w.numel(),), r) for w, r in zip(self.weights, RATES, strict=True)]
        ).double()

    @staticmethod
    def _symmetric(n: int) -> Tensor:
        drawn = torch.randn(n, n, dtype=torch.float64)
        return drawn + drawn.T

    @property
    def w(self) -> Tensor:
        return torch.cat([w.flatten() for w in self.weights])

    @property
    def a(self) -> Tensor:
        return torch.cat([a.flatten() for a in self.arch])

    def train(self) -> Tensor:
        w, a = self.w, self.a
        return w @ self.p @ w / 2 + w @ self.q @ a + a @ self.r @ a / 2

    def valid(self) -> Tensor:
        w, a = self.w, self.a
        return w @ self.s @ w / 2 + self.t @ w + w @ self.u @ a + self.v @ a

    @torch.no_grad()
    def second(self) -> Tensor:
        """Differentiate L_val(w - r (P w + Q a), a) by hand."""
        w, a = self.w, self.a
        moved = w - self.rates * (self.p @ w + self.q @ a)
        outward = self.s @ moved + self.t + self.u @ a
        return self.u.T @ moved + self.v - self.q.T @ (self.rates * outward)


def _flat(found: list[Tensor]) -> Tensor:
    return torch.cat([g.flatten() for g in found])


@pytest.mark.parametrize("seed", range(3))
def test_second_order_equals_the_closed_form(seed: int) -> None:
    problem = Quadratic(seed)
    before = [w.detach().clone() for w in problem.weights]
    found = hypergradient.second_order(
        problem.train, problem.valid, problem.weights, problem.arch, RATES
    )
    assert [g.shape for g in found] == [a.shape for a in problem.arch]
    wanted = problem.second()
    assert float((_flat(found) - wanted).norm() / wanted.norm()) < 1e-6
    for weight, value in zip(problem.weights, before, strict=True):
        assert torch.equal(weight, value)
        assert weight.grad is None
    # Not what first order gives, nor what one common rate gives.
    first = _flat(hypergradient.first_order(problem.valid, problem.arch))
    assert float((first - wanted).norm() / wanted.norm()) > 0.1
    common = hypergradient.second_order(
        problem.train, problem.valid, problem.weights, problem.arch, [0.3] * 3
    )
    assert float((_flat(common) - wanted).norm() / wanted.norm()) > 0.1


def test_first_order_equals_autograd() -> None:
    problem = Quadratic()
    found = hypergradient.first_order(problem.valid, problem.arch)
    wanted = torch.autograd.grad(problem.valid(), problem.arch)
    assert all(torch.equal(f, w) for f, w in zip(found, wanted, strict=True))
    closed = problem.u.T @ problem.w.detach() + problem.v
    torch.testing.assert_close(_flat(found), closed)


@pytest.mark.parametrize("failing", [1, 2, 3, 4])
def test_an_exception_leaves_the_weights_bit_for_bit(failing: int) -> None:
    problem = Quadratic()
    before = [w.detach().clone() for w in problem.weights]
    calls = 0

    def guarded(loss: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def compute() -> Tensor:
            nonlocal calls
            calls += 1
            if calls == failing:
                raise MemoryError("out of memory")
            return loss()

        return compute

    with pytest.raises(MemoryError):
        hypergradient.second_order(
            guarded(problem.train), guarded(problem.valid), problem.weights, problem.arch, RATES
        )
    assert calls == failing
    for weight, value in zip(problem.weights, before, strict=True):
        assert torch.equal(weight, value)


def test_weights_that_validation_does_not_see() -> None:
    """Without a way through the weights only the direct gradient is left: two evaluations."""
    problem = Quadratic()
    calls = 0

    def valid() -> Tensor:
        nonlocal calls
        calls += 1
        return problem.v @ problem.a

    found = hypergradient.second_order(problem.train, valid, problem.weights, problem.arch, RATES)
    torch.testing.assert_close(_flat(found), problem.v)
    assert calls == 1


def test_a_loss_that_is_not_finite_gives_the_weights_back() -> None:
    problem = Quadratic()
    before = [w.detach().clone() for w in problem.weights]
    found = hypergradient.second_order(
        lambda: problem.train() * torch.nan, problem.valid, problem.weights, problem.arch, RATES
    )
    assert not bool(_flat(found).isfinite().all())
    for weight, value in zip(problem.weights, before, strict=True):
        assert torch.equal(weight, value)
