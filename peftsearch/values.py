"""What each candidate of each gate is worth, from scores of whole architectures. Torch-free.

An additive model: the score of an architecture is the sum of the values of its candidates, and a
value is what one candidate is worth at one site, plus what its method is worth anywhere, plus a
share of an earlier opinion:

    score(z)  =  b + sum_g ( v_{g,z_g} + u_{method(z_g)} + k * opinion_{g,z_g} ) + noise

All weights have Gaussian priors around 0, and k one around 1: until scores say otherwise, the
opinion stands. So few observations go a long way, and the posterior has a closed form. Source:
Bayesian linear regression (e.g. Bishop 2006, section 3.3), on the features of a multiple-choice
knapsack; the choice of features is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from peftsearch.architecture import NONE
from peftsearch.space import SearchSpace

Numbers = npt.NDArray[np.float64]
Values = list[list[float]]

#: Prior deviation of each kind of weight, in deviations of the observed scores.
_OWN, _METHOD, _OPINION, _LEVEL = 0.5, 0.25, 0.5, 2.0
#: Deviation of the noise in the same unit.
_NOISE = 1.0


@dataclass(frozen=True)
class ValueModel:
    """The posterior of a fit.

    Attributes:
        space: Gates and candidates.
        basis: (candidates over all gates, features): what a candidate adds to each feature.
        mean: Posterior mean of the weight of each feature.
        covariance: Posterior covariance of the weights.
    """

    space: SearchSpace
    basis: Numbers
    mean: Numbers
    covariance: Numbers

    def values(self) -> Values:
        """Return the expected value of every candidate, by gate."""
        return self._by_gate(self.mean)

    def draw(self, rng: np.random.Generator) -> Values:
        """Return values drawn from the posterior, as Thompson sampling does."""
        return self._by_gate(rng.multivariate_normal(self.mean, self.covariance, method="eigh"))

    def _by_gate(self, weights: Numbers) -> Values:
        flat = iter((self.basis @ weights).tolist())
        return [[next(flat) for _ in gate.candidates] for gate in self.space.gates]


def additive(values: Sequence[Sequence[float]], candidates: Sequence[int]) -> float:
    """Return the value of an architecture: the sum over its candidates, one index per gate."""
    return sum(row[i] for row, i in zip(values, candidates, strict=True))


def standardised(scores: Sequence[float]) -> list[float]:
    """Return scores with mean 0 and deviation 1; all 0 where they do not differ."""
    numbers = np.array(scores, dtype=float)
    if not len(numbers):
        return []
    return [float(s) for s in (numbers - numbers.mean()) / max(float(numbers.std()), 1e-12)]


def fit(
    space: SearchSpace,
    architectures: Sequence[Sequence[int]],
    scores: Sequence[float],
    opinion: Sequence[Sequence[float]] | None = None,
) -> ValueModel:
    """Fit the additive model.

    Args:
        space: Gates and candidates.
        architectures: Candidate index of each gate, for each observation; may be none.
        scores: Score of each, higher is better, all measured alike.
        opinion: An earlier opinion of the value of each candidate, by gate, in any unit.

    Returns:
        Values in deviations of the scores; where the opinion says nothing, ``none`` is worth 0.
    """
    basis = _basis(space, opinion)
    starts = np.cumsum([0, *[len(gate.candidates) for gate in space.gates]])[:-1]
    rows = [basis[starts + np.array(a)].sum(axis=0) for a in architectures]
    features = np.array(rows).reshape(len(rows), basis.shape[1])
    level = np.full((len(rows), 1), _LEVEL)
    design = np.hstack([features, level])
    targets = np.array(standardised(scores))
    before = np.zeros(design.shape[1])
    if opinion is not None:
        before[-2] = 1 / _OPINION
    covariance = np.linalg.inv(np.eye(design.shape[1]) + design.T @ design / _NOISE**2)
    mean = before + covariance @ design.T @ (targets - design @ before) / _NOISE**2
    return ValueModel(space, basis, mean[:-1], covariance[:-1, :-1])


def _basis(space: SearchSpace, opinion: Sequence[Sequence[float]] | None) -> Numbers:
    """Return what each candidate adds to each feature, scaled by the feature's prior deviation."""
    flat = [c for gate in space.gates for c in gate.candidates]
    methods = sorted({c.method for c in flat} - {NONE})
    own = np.eye(len(flat))[:, [i for i, c in enumerate(flat) if c.method != NONE]]
    shared = np.array([[float(c.method == m) for m in methods] for c in flat])
    parts = [_OWN * own, _METHOD * shared]
    if opinion is not None:
        parts.append(_OPINION * scaled(opinion)[:, None])
    return np.hstack(parts)


def scaled(opinion: Sequence[Sequence[float]]) -> Numbers:
    """Return an opinion, flat, scaled: architectures drawn at random have deviation 1."""
    spread = np.sqrt(sum(float(np.var(row)) for row in opinion))
    flat = np.array([v for row in opinion for v in row], dtype=float)
    return np.asarray(flat / spread if spread > 0 else 0 * flat)
