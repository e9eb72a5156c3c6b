"""What each candidate of each gate is worth, from scores of whole architectures. Torch-free.

An additive model: the score of an architecture is the sum of the values of its candidates. Three
sources explain it, each with a Gaussian prior, so that few observations go a long way:

    score(z)  =  b  +  k * sum_g prior_{g,z_g}  +  sum_g u_{method(z_g)}  +  sum_g v_{g,z_g}

how much an earlier opinion counts (k), what a method is worth wherever it stands (u), and what
one candidate is worth at one site (v). Source: ours; Bayesian ridge regression (MacKay 1992,
Neural Computation 4, 415) on the features of a multiple-choice knapsack.
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


@dataclass(frozen=True)
class ValueModel:
    """The posterior of a fit.

    Attributes:
        space: Gates and candidates.
        basis: (number of candidates over all gates, features): what a candidate adds to each
            feature.
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


def fit(
    space: SearchSpace,
    architectures: Sequence[Sequence[int]],
    scores: Sequence[float],
    prior: Sequence[Sequence[float]] | None = None,
) -> ValueModel:
    """Fit the additive model.

    Args:
        space: Gates and candidates.
        architectures: Candidate index of each gate, for each observation.
        scores: Score of each, higher is better, all measured alike.
        prior: An earlier opinion of the value of each candidate, by gate.
    """
    from sklearn.linear_model import BayesianRidge

    basis = _basis(space, prior)
    starts = np.cumsum([0, *[len(gate.candidates) for gate in space.gates]])[:-1]
    features = np.array([basis[starts + np.array(a)].sum(axis=0) for a in architectures])
    found = BayesianRidge().fit(features, np.array(scores))
    return ValueModel(space, basis, found.coef_, found.sigma_)


def _basis(space: SearchSpace, prior: Sequence[Sequence[float]] | None) -> Numbers:
    """Return what each candidate adds to the features; columns that are nowhere used are none."""
    flat = [(g, c) for g, gate in enumerate(space.gates) for c in gate.candidates]
    methods = sorted({c.method for _, c in flat} - {NONE})
    own = np.eye(len(flat))[:, [i for i, (_, c) in enumerate(flat) if c.method != NONE]]
    shared = np.array([[float(c.method == m) for m in methods] for _, c in flat])
    parts = [own, shared / np.sqrt(len(space.gates))]
    if prior is not None:
        opinion = np.array([v for row in prior for v in row])[:, None]
        spread = float(opinion.std())
        parts.append((opinion - opinion.min()) / spread if spread > 0 else 0 * opinion)
    return np.concatenate(parts, axis=1)
