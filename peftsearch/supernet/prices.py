"""Prices of several resources at once: the dual of a knapsack with entropy, solved exactly.

The distribution nearest to p (in Kullback-Leibler divergence) that keeps every expected cost
E_q[c_k] within its target is q ~ p * exp(-sum_k price_k c_k), where the prices are the least
point of a smooth convex function of as many numbers as there are resources:

    D(price) = sum_g log sum_o p_go exp(-sum_k price_k c_kgo)  +  sum_k price_k target_k

over prices >= 0. Its gradient is the slack, its Hessian the covariance of the costs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from torch import Tensor

Numbers = npt.NDArray[np.float64]
#: Newton steps behind the library's solution, and the excess, as a share of its target, at which
#: an expected cost is exact.
_POLISH, _EXACT = 20, 1e-14
#: Excess that is as good as none.
_NEAR = 1e-11
#: Correlation from which resources count as one, and the variance below which there is none.
_SAME, _LEAST = 1e-11, 1e-30


def tilted(log_p: Tensor, costs: Tensor, prices: Tensor) -> Tensor:
    """Return log q (G, C) for prices (K,) of costs (K, G, C); absent candidates have log p -inf."""
    return torch.log_softmax(log_p - torch.tensordot(prices, costs, dims=1), dim=-1)


def expected(log_q: Tensor, costs: Tensor) -> Tensor:
    """Return the expected cost of each resource, (K,)."""
    return (log_q.exp() * costs).sum((-1, -2))


def covariance(log_q: Tensor, costs: Tensor) -> Tensor:
    """Return the covariance (K, K) of the costs, in which gates are independent."""
    q = log_q.exp()
    centred = costs - (q * costs).sum(-1, keepdim=True)
    return torch.einsum("gc,kgc,lgc->kl", q, centred, centred)


def pseudo_inverse(matrix: Tensor) -> Tensor:
    """Return the inverse of a covariance; resources that rise together share one direction.

    Taken of the correlations: variances may differ by many orders of magnitude.
    """
    scale = matrix.diagonal().clamp_min(_LEAST).rsqrt()
    correlation = matrix * scale.unsqueeze(0) * scale.unsqueeze(1)
    inverse: Tensor = torch.linalg.pinv(correlation, hermitian=True, rtol=_SAME)
    return inverse * scale.unsqueeze(0) * scale.unsqueeze(1)


@torch.no_grad()
def solve(log_p: Tensor, costs: Tensor, targets: Tensor) -> Tensor:
    """Return the prices (K,) >= 0 at which every expected cost is within its target.

    Args:
        log_p: (G, C) log-probabilities, minus infinity where there is no candidate.
        costs: (K, G, C) costs >= 0, each more than nothing somewhere; every gate has a candidate
            that costs nothing.
        targets: (K,) largest expected costs, > 0.
    """
    largest = costs.amax((-1, -2))  # a price of one of these shifts a logit by at most one nat
    unit, wanted = costs / largest.view(-1, 1, 1), targets / largest

    def dual(prices: Numbers) -> tuple[float, Numbers]:
        shifted = log_p - torch.tensordot(torch.from_numpy(prices), unit, dims=1)
        level = torch.logsumexp(shifted, -1, keepdim=True)
        value = float(level.sum()) + float(prices @ wanted.numpy())
        return value, (wanted - expected(shifted - level, unit)).numpy()

    start = np.zeros(len(targets))
    for rough in (True, False):  # Newton's method goes the rest of the way, mostly from a rough one
        options = {"ftol": 1e-8, "gtol": 1e-4} if rough else {"ftol": 1e-15, "gtol": 1e-10}
        limits = {"maxiter": 5000, "maxfun": 10000, **options}
        bounds = [(0, None)] * len(targets)
        found = minimize(dual, start, jac=True, method="L-BFGS-B", bounds=bounds, options=limits)
        prices, wrong = _polished(torch.from_numpy(found.x), log_p, unit, wanted)
        if wrong <= _NEAR:
            break
        start = found.x
    return prices / largest


def _polished(
    prices: Tensor, log_p: Tensor, costs: Tensor, targets: Tensor
) -> tuple[Tensor, float]:
    """Go on by Newton's method from close by; a price that would fall below zero stays there.

    Returns:
        The best prices met, and how far an expected cost is from where it must be.
    """
    best, least = prices, float("inf")
    for _ in range(_POLISH):
        log_q = tilted(log_p, costs, prices)
        excess = expected(log_q, costs) - targets
        wrong = torch.where(prices > 0, excess.abs(), excess.clamp_min(0)) / targets
        if float(wrong.max()) < least:
            best, least = prices, float(wrong.max())
        free = (prices > 0) | (excess > 0)
        if least <= _EXACT or not free.any():
            break
        step = torch.zeros_like(prices)
        inverse = pseudo_inverse(covariance(log_q, costs[free]))
        step[free] = inverse @ excess[free]
        prices = (prices + step).clamp_min(0)
    return best, least
