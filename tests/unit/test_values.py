"""The additive value model against scikit-learn, and on values that are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from peftsearch.site import Site
from peftsearch.space import EMPTY, Candidate, Gate, SearchSpace
from peftsearch.values import Values, fit

METHODS = ("lora", "adapter", "ia3")


def space(gates: int = 3) -> SearchSpace:
    """Gates with three methods each."""
    candidates = tuple(Candidate(m, 1, ("q",), 10 * (i + 1)) for i, m in enumerate(METHODS))
    sites = [Site("encoder", g, "attention", ("q",)) for g in range(gates)]
    return SearchSpace("s", "", "one", tuple(Gate(site, (EMPTY, *candidates)) for site in sites))


def everything(made: SearchSpace) -> list[tuple[int, ...]]:
    return list(itertools.product(*(range(len(gate.candidates)) for gate in made.gates)))


def totals(values: Values, architectures: list[tuple[int, ...]]) -> np.ndarray:
    return np.array([sum(values[g][i] for g, i in enumerate(a)) for a in architectures])


@pytest.mark.parametrize("seed", range(3))
def test_known_values_are_recovered(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = space()
    truth = [[0.0, *rng.normal(size=3)] for _ in made.gates]
    architectures = everything(made)
    scores = totals(truth, architectures) + 0.05 * rng.normal(size=len(architectures))
    found = totals(fit(made, architectures, scores.tolist()).values(), architectures)
    assert np.corrcoef(found, totals(truth, architectures))[0, 1] > 0.99


def test_the_posterior_mean_is_that_of_ridge_regression() -> None:
    """The same features, scaled by their prior deviations, in an implementation of others."""
    rng = np.random.default_rng(5)
    made = space()
    opinion = [rng.normal(size=4).tolist() for _ in made.gates]
    architectures = [everything(made)[i] for i in rng.choice(64, 12, replace=False)]
    scores = rng.normal(size=12)
    spread = np.sqrt(sum(np.var(row) for row in opinion))

    def features(architecture: tuple[int, ...]) -> list[float]:
        own = [0.5 * float(architecture[g] == i) for g in range(3) for i in (1, 2, 3)]
        shared = [0.25 * sum(i == m for i in architecture) for m in (1, 2, 3)]
        said = sum(opinion[g][i] for g, i in enumerate(architecture)) / spread
        return [*own, *shared, 0.5 * said, 2.0]

    design = np.array([features(a) for a in architectures])
    targets = (scores - scores.mean()) / scores.std()
    before = np.array([0.0] * 12 + [2.0, 0.0])  # the opinion counts once, until scores object
    ridge = Ridge(alpha=1.0, fit_intercept=False).fit(design, targets - design @ before)
    expected = np.array([features(a) for a in everything(made)]) @ (ridge.coef_ + before)
    model = fit(made, architectures, scores.tolist(), opinion)
    found = totals(model.values(), everything(made))
    assert np.allclose(found - found[0], expected - expected[0])


def test_without_observations_the_opinion_stands() -> None:
    opinion = [[0.0, 3.0, 1.0, 2.0]] * 3
    found = np.array(fit(space(), [], [], opinion).values())
    assert np.allclose(found * np.sqrt(3 * np.var(opinion[0])), opinion)


def test_observations_overrule_a_wrong_opinion() -> None:
    made = space()
    truth = [[0.0, 3.0, 1.0, 2.0]] * 3
    wrong = [[0.0, -3.0, -1.0, -2.0]] * 3
    architectures = everything(made)
    scores = totals(truth, architectures)
    found = totals(fit(made, architectures, scores.tolist(), wrong).values(), architectures)
    assert np.corrcoef(found, scores)[0, 1] > 0.99


def test_draws_have_the_posterior_mean_and_spread() -> None:
    made = space(2)
    model = fit(made, [(1, 0), (2, 0), (0, 3)], [1.0, 0.0, 0.5])
    rng = np.random.default_rng(0)
    draws = np.array([np.concatenate(model.draw(rng)) for _ in range(4000)])
    assert np.allclose(draws.mean(axis=0), np.concatenate(model.values()), atol=0.06)
    expected = np.sqrt(np.diag(model.basis @ model.covariance @ model.basis.T))
    assert np.allclose(draws.std(axis=0), expected, atol=0.05)
