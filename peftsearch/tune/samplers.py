"""Samplers that draw the same for a trial, whoever asks and however often; and pruners.

Optuna keeps a sampler's random state in the process, so a study that is resumed with the same seed
draws its first trials again. Here every trial has a sampler of its own, seeded by its number.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from peftsearch.errors import MissingError
from peftsearch.seeds import derive

Make = Callable[[int], BaseSampler]


def _tpe(seed: int) -> BaseSampler:
    # Together and not key by key; running trials count as bad, so that workers spread.
    return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)


def _random(seed: int) -> BaseSampler:
    return optuna.samplers.RandomSampler(seed=seed)


def _cmaes(seed: int) -> BaseSampler:
    try:
        import cmaes  # noqa: F401  Optuna imports it too late
    except ModuleNotFoundError:
        raise MissingError("cmaes is not installed.", "pip install cmaes") from None
    return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)


def _nsga2(seed: int) -> BaseSampler:
    return optuna.samplers.NSGAIISampler(seed=seed)


SAMPLERS: Mapping[str, Make] = {
    "tpe": _tpe,
    "random": _random,
    "cmaes": _cmaes,
    "nsga2": _nsga2,
}


def made(make: Make, seed: int) -> BaseSampler:
    """Make a sampler of a seed; that parts of Optuna 4 may change is no news for its users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return make(seed)


class Seeded(BaseSampler):
    """A sampler that is made anew for every trial, from the study's seed and the trial's number.

    Args:
        make: Makes Optuna's sampler of a seed.
        seed: Root of its randomness.
    """

    def __init__(self, make: Make, seed: int) -> None:
        self._make, self._seed = make, seed
        self._current: tuple[int, BaseSampler] | None = None

    def _fresh(self, *names: str | int) -> BaseSampler:
        return made(self._make, derive(self._seed, "tune", *names))

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        if self._current is None or self._current[0] != trial.number:
            self._current = (trial.number, self._fresh(trial.number))
        return self._current[1]

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return what is sampled together; the first call of a trial, so it begins anew."""
        self._current = None
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Sample what is sampled together."""
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Sample one value, the same whichever others of the trial are known already."""
        sampler = self._fresh(trial.number, param_name)
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Let the sampler note what it wants to remember in the storage."""
        self._of(trial).after_trial(study, trial, state, values)


def _hyperband(rungs: int) -> BasePruner:
    most = 2 ** (rungs - 1)
    return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=most, reduction_factor=2)


def _asha(rungs: int) -> BasePruner:
    return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)


def _median(rungs: int) -> BasePruner:
    return optuna.pruners.MedianPruner(n_startup_trials=5)


def _none(rungs: int) -> BasePruner:
    return optuna.pruners.NopPruner()


#: Each is given the number of rungs; rung i, from 0, is reported as step 2**i, since rungs double.
PRUNERS: Mapping[str, Callable[[int], BasePruner]] = {
    "hyperband": _hyperband,
    "asha": _asha,
    "median": _median,
    "none": _none,
}
