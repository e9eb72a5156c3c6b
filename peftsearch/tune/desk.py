"""Gives out the trials of a study: each to one worker, each once, none lost.

A worker that has a trial holds a lease on it, and says with a beat now and then that it lives. A
lease whose holder is dead, or whose beat stood still for long enough, is taken away: the trial goes
back into the queue with its number and its values, and whoever takes it goes on in its folder.
All of this happens under the storage's lock, on every kind of storage alike.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import optuna
from optuna.trial import FrozenTrial, TrialState

from peftsearch.errors import ConfigError
from peftsearch.tune.patience import Patience
from peftsearch.tune.place import Place
from peftsearch.tune.plan import Plan, differences, distribution
from peftsearch.tune.samplers import PRUNERS, SAMPLERS, Seeded
from peftsearch.tune.storage import Opened

#: Attributes of a trial that are ours; those of the system are not shown by dashboards.
LEASE, BEAT, ATTEMPTS = "peftsearch:lease", "peftsearch:beat", "attempts"
RECORD = "peftsearch"
REASON = "reason"
LOST = "its worker was lost"

Result = TypeVar("Result")


class LeaseLost(Exception):
    """This worker has been taken for dead, and its trial was given to another."""


@dataclass(frozen=True)
class Claim:
    """A trial that a worker has.

    Attributes:
        number: Of the trial.
        id: Of the trial, in the storage.
        params: Its values.
        reported: Scores by step that are in the storage already.
    """

    number: int
    id: int
    params: dict[str, Any]
    reported: dict[int, float]


@dataclass
class Desk:
    """One study, as one worker sees it.

    Attributes:
        plan: What the study is.
        opened: Where it lies.
        patience: How storages that are away are waited for.
        lease: Seconds without a beat after which a worker of another machine counts as lost.
        attempts: How often a trial is begun at most, when what stopped it was not its own fault.
        place: Who this worker is.
    """

    plan: Plan
    opened: Opened
    patience: Patience
    lease: float = 60.0
    attempts: int = 3
    place: Place = field(default_factory=Place)
    study: optuna.Study = field(init=False)
    _seen: dict[int, tuple[Any, float]] = field(default_factory=dict)
    _outages: int = 0

    def __post_init__(self) -> None:
        self.study = self._alone(self._join)
        self._storage = self.opened.storage

    def _alone(self, call: Callable[[], Result]) -> Result:
        """Call under the storage's lock; from the start again if the storage goes away."""

        def section() -> Result:
            with self.opened.mutex():
                return call()

        return self.patience(section)

    def _join(self) -> optuna.Study:
        """Open the study, or make it.

        Raises:
            ConfigError: A study of that name is another one.
        """
        plan, record = self.plan, self.plan.record()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study = optuna.create_study(
                storage=self.opened.storage,
                study_name=plan.name,
                directions=plan.directions,
                sampler=Seeded(SAMPLERS[plan.sampler], plan.base.seed),
                pruner=PRUNERS[plan.pruner](len(plan.shares)),
                load_if_exists=True,
            )
        stored = study.user_attrs.get(RECORD)
        if stored is None and not study.get_trials(deepcopy=False):
            study.set_user_attr(RECORD, record)
            return study
        if stored is None:
            message = f'The storage has a study "{plan.name}" that peftsearch did not make.'
            raise ConfigError(message, "Take another name: --study NAME")
        lines = differences(stored, record)
        if lines:
            message = f'The study "{plan.name}" was begun with other settings:\n'
            hint = "Leave them out to go on, or begin another with --study NAME --out DIR."
            raise ConfigError(message + "\n".join(lines), hint)
        return study

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials that are wanted, by number; those in some states, or all."""
        found = self.study.get_trials(deepcopy=False, states=states or None)
        return sorted((t for t in found if t.number < self.plan.trials), key=lambda t: t.number)

    def finished(self) -> bool:
        """Whether every trial has ended."""
        return self.patience(self._finished)

    def _finished(self) -> bool:
        ended = [t for t in self.trials() if t.state.is_finished()]
        return len(ended) == self.plan.trials

    def claim(self) -> Claim | None:
        """Take the next trial; ``None`` if there is none to be had now, or at all."""
        return self._alone(self._claim)

    def _claim(self) -> Claim | None:
        self._reap()
        everything = self.study.get_trials(deepcopy=False)
        queued = [t for t in self.trials() if t.state == TrialState.WAITING]
        if not queued and len(everything) >= self.plan.trials:
            return None
        # Nothing is lost if this process dies here: the same values would be drawn again.
        asked = self.study.ask({each.key: distribution(each) for each in self.plan.space})
        if asked.number >= self.plan.trials:  # a server that restarted counted one twice
            self._fail(asked._trial_id, "surplus: made while the storage restarted")
            return self._claim()
        self._storage.set_trial_system_attr(asked._trial_id, LEASE, self.place.to_json())
        self._beat(asked._trial_id)
        stored = self._storage.get_trial(asked._trial_id)
        reported = dict(stored.intermediate_values)
        return Claim(asked.number, asked._trial_id, dict(stored.params), reported)

    def _reap(self) -> None:
        """Put back into the queue what nobody works on any more."""
        if self._outages != self.patience.outages:
            self._seen.clear()  # no beat could be written meanwhile
            self._outages = self.patience.outages
        states = (TrialState.RUNNING,)
        for trial in self.study.get_trials(deepcopy=False, states=states):
            attrs = self._storage.get_trial_system_attrs(trial._trial_id)
            lease = attrs.get(LEASE)
            if lease is None:  # given out by a worker that died before it could say so
                if trial.number >= self.plan.trials:
                    self._fail(trial._trial_id, "surplus: made while the storage restarted")
                else:
                    self._put_back(trial._trial_id)
            elif self._is_lost(trial._trial_id, lease, attrs.get(BEAT)):
                self._again(trial._trial_id, LOST)

    def _is_lost(self, trial_id: int, lease: dict[str, Any], beat: Any) -> bool:
        """Whether a lease has run out, by this worker's clock alone: clocks of machines differ."""
        if lease["worker"] == self.place.worker:
            return False
        if self.place.knows_dead(lease):
            return True
        now, sign = time.monotonic(), (lease["worker"], beat)
        before = self._seen.get(trial_id)
        if before is None or before[0] != sign:
            self._seen[trial_id] = (sign, now)
            return False
        return now - before[1] >= self.lease

    def _put_back(self, trial_id: int) -> None:
        # The lease first: a trial that runs without one is put back by whoever comes next.
        self._storage.set_trial_system_attr(trial_id, LEASE, None)
        self._storage.set_trial_state_values(trial_id, TrialState.WAITING)

    def _again(self, trial_id: int, reason: str) -> bool:
        """Note a failed attempt; queue the trial again, or fail it after the last one."""
        known = self._storage.get_trial_user_attrs(trial_id).get(ATTEMPTS, [])
        self._storage.set_trial_user_attr(trial_id, ATTEMPTS, [*known, reason])
        if len(known) + 1 < self.attempts:
            self._put_back(trial_id)
            return True
        self._fail(trial_id, reason)
        return False

    def _fail(self, trial_id: int, reason: str) -> None:
        self._storage.set_trial_user_attr(trial_id, REASON, reason)
        self._storage.set_trial_state_values(trial_id, TrialState.FAIL)

    def beat(self, claim: Claim) -> None:
        """Say that this worker lives, and look after the others.

        Raises:
            LeaseLost: Another has the trial.
        """

        def section() -> None:
            self._check(claim)
            self._beat(claim.id)
            self._reap()

        self._alone(section)

    def _beat(self, trial_id: int) -> None:
        self._storage.set_trial_system_attr(trial_id, BEAT, time.time())

    def _check(self, claim: Claim) -> None:
        """Refuse to go on with a trial that this worker no longer has."""
        trial = self._storage.get_trial(claim.id)
        lease = trial.system_attrs.get(LEASE)
        mine = lease is not None and lease["worker"] == self.place.worker
        if not mine or trial.state != TrialState.RUNNING:
            raise LeaseLost

    def report(self, claim: Claim, rung: int, score: float) -> bool:
        """Report a score at a rung, from 0; return whether to stop the trial there."""
        if len(self.plan.objectives) > 1:
            return False  # Optuna prunes by a single objective
        step = 2**rung

        def section() -> bool:
            self._check(claim)
            if step not in self._storage.get_trial(claim.id).intermediate_values:
                self._storage.set_trial_intermediate_value(claim.id, step, score)
            trial = self._storage.get_trial(claim.id)
            return self.study.pruner.prune(self.study, trial)

        return self._alone(section)

    def tell(
        self,
        claim: Claim,
        state: TrialState,
        values: Sequence[float] | None,
        attrs: Mapping[str, Any],
    ) -> None:
        """End a trial; once, however often it is tried.

        Raises:
            LeaseLost: Another has the trial.
        """

        def section() -> None:
            if self._ended_by_us(claim):
                return
            self._check(claim)
            for name, value in attrs.items():
                self._storage.set_trial_user_attr(claim.id, name, value)
            self.study.tell(claim.number, values, state=state)

        self._alone(section)

    def _ended_by_us(self, claim: Claim) -> bool:
        """Whether an earlier try ended it, of which the answer was lost."""
        trial = self._storage.get_trial(claim.id)
        lease = trial.system_attrs.get(LEASE) or {}
        return trial.state.is_finished() and lease.get("worker") == self.place.worker

    def release(self, claim: Claim) -> None:
        """Put a trial back that shall go on later; it was stopped, and did not fail."""

        def section() -> None:
            self._check(claim)
            self._put_back(claim.id)

        self._alone(section)

    def again(self, claim: Claim, reason: str) -> bool:
        """Put a trial back that failed by no fault of its own; whether it may be tried again."""

        def section() -> bool:
            self._check(claim)
            return self._again(claim.id, reason)

        return self._alone(section)
