"""A worker: takes trials one after the other until the studies are complete.

Place in the flow: desk and process -> **worker**. One worker has one trial at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from peftsearch import config as configuration
from peftsearch.errors import ConfigError, MissingError, StoppedError
from peftsearch.interrupt import Interrupt
from peftsearch.tune.child import GO, MEMORY, PRUNE
from peftsearch.tune.desk import REASON, Claim, Desk, LeaseLost
from peftsearch.tune.process import TrialProcess

#: Seconds between two looks for a trial that has become free.
POLL = 0.5
_MISSING = 3


@dataclass
class Worker:
    """Takes trials and runs them.

    Attributes:
        desks: One for each study, the first first.
        out: Folder of the trials.
        module: Module that is run as a trial.
        interrupt: Asks to stop.
        deadline: Time of the monotonic clock at which to stop, or ``None``.
        tell: Given a sentence for every trial that ends.
    """

    desks: Sequence[Desk]
    out: Path
    module: str
    interrupt: Interrupt
    deadline: float | None
    tell: Callable[[str], None]

    def stop_if_asked(self) -> None:
        """Leave if a signal has arrived or the time is over.

        Raises:
            StoppedError: So it is; exit 143 when the time is over.
        """
        self.interrupt.check("the end of a trial")
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise StoppedError(15, "Stopped after --max-seconds; saved.")

    def run(self) -> None:
        """Work until every trial has ended.

        Raises:
            StoppedError: Asked to stop; the trial goes on later, whoever takes it.
            MissingError: What every trial needs is not there.
        """
        while True:
            self.stop_if_asked()
            taken = next((pair for desk in self.desks if (pair := _take(desk))), None)
            if taken is not None:
                with suppress(LeaseLost):  # the trial goes on elsewhere
                    self._run(*taken)
            elif all(desk.finished() for desk in self.desks):
                return
            else:
                time.sleep(POLL)

    def _run(self, desk: Desk, claim: Claim) -> None:
        try:
            config = desk.plan.config(claim.params)
        except ConfigError as error:
            self._failed(desk, claim, error.message, 0.0)
            return
        folder = trial_folder(self.out, desk.plan.baseline, claim.number)
        job = {
            "config": configuration.to_mapping(config),
            "folder": str(folder),
            "shares": list(desk.plan.shares),
            "baseline": desk.plan.baseline,
            "number": claim.number,
        }
        process = TrialProcess(self.module, job, folder.with_suffix(".log"))
        try:
            last = self._follow(desk, claim, process)
        except LeaseLost:
            process.kill()
            raise
        except BaseException:
            process.stop()
            with suppress(LeaseLost, StoppedError):
                desk.release(claim)
            raise
        if self._ended(desk, claim, last, process.code()):
            tidy(folder)

    def _follow(self, desk: Desk, claim: Claim, process: TrialProcess) -> dict[str, Any]:
        """Answer a trial at its rungs until its last words; empty if it had none."""
        due, last = time.monotonic() + desk.lease / 4, dict[str, Any]()
        while True:
            self.stop_if_asked()
            if time.monotonic() >= due:
                desk.beat(claim)
                due = time.monotonic() + desk.lease / 4
            try:
                words = process.hear(min(POLL, desk.lease / 4))
            except TimeoutError:
                continue
            if words is None:
                return last
            if "rung" in words:
                stop = desk.report(claim, words["rung"], words["score"])
                process.tell(PRUNE if stop else GO)
            else:
                last = words

    def _ended(self, desk: Desk, claim: Claim, last: dict[str, Any], code: int) -> bool:
        """Tell how a trial ended; return whether that is its end."""
        seconds = float(last.get("seconds", 0.0))
        if "done" in last:
            found = last["done"]
            values = {"score": found["score"], "parameters": float(found["num_params"])}
            wanted = [values[name] for name in desk.plan.objectives]
            desk.tell(claim, TrialState.COMPLETE, wanted, {**found, "seconds": seconds})
            self._say(desk, claim, f"{found['score']:.4f}, {found['num_params']:,} parameters")
        elif "pruned" in last:
            desk.tell(claim, TrialState.PRUNED, None, {"seconds": seconds})
            self._say(desk, claim, "pruned")
        elif "error" not in last:
            how = f"killed by signal {-code}" if code < 0 else f"ended with code {code}"
            return self._once_more(desk, claim, f"{how}, perhaps because the memory was full")
        elif last["error"] in (*MEMORY, "StoppedError"):
            return self._once_more(desk, claim, last["message"])
        elif last["code"] == _MISSING:
            desk.release(claim)
            raise MissingError(last["message"])
        else:
            self._failed(desk, claim, last["message"], seconds)
        return True

    def _failed(self, desk: Desk, claim: Claim, reason: str, seconds: float) -> None:
        """Fail a trial that would come out the same again."""
        desk.tell(claim, TrialState.FAIL, None, {REASON: reason, "seconds": seconds})
        self._say(desk, claim, f"failed: {reason}")

    def _once_more(self, desk: Desk, claim: Claim, reason: str) -> bool:
        left = desk.again(claim, reason)
        self._say(desk, claim, f"{'to be tried again' if left else 'failed'}: {reason}")
        return not left

    def _say(self, desk: Desk, claim: Claim, text: str) -> None:
        self.tell(f"{desk.plan.name}: trial {claim.number} of {desk.plan.trials}: {text}")


def _take(desk: Desk) -> tuple[Desk, Claim] | None:
    claim = desk.claim()
    return None if claim is None else (desk, claim)


def trial_folder(out: Path, baseline: str, number: int) -> Path:
    """Return the run directory of a trial."""
    above = out / "baselines" / baseline if baseline else out
    return above / "trials" / f"{number:04d}"


def tidy(folder: Path) -> None:
    """Remove the weights of a trial that has ended: they were for going on with it."""
    for path in folder.rglob("*.safetensors"):
        path.unlink(missing_ok=True)
