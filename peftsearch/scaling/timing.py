"""What a trial would take, from a few real steps where nothing has been measured yet.

Place in the flow: configuration -> **timing** -> prediction. Loads the model and the rows.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from peftsearch.config import RunConfig
from peftsearch.errors import BudgetError
from peftsearch.interrupt import Interrupt
from peftsearch.rundir import Events, RunDir
from peftsearch.scaling.measured import Measured

#: Steps that are not timed, since they load and warm up; steps that are; rows that are scored.
_WARM, _TIMED, _ROWS = 2, 6, 64


def time_steps(config: RunConfig, single_trainings: float, trainings: int) -> Measured:
    """Estimate a trial: loading, its trainings by the plan's count, and the scoring on test.

    Args:
        config: The configuration of a trial.
        single_trainings: What it costs in single trainings, from its plan.
        trainings: How many of them end with a score on the test rows.

    Raises:
        PeftSearchError: As in a run.
    """
    from peftsearch.session import Session
    from peftsearch.workspace import Workspace

    began = time.monotonic()
    interrupt = Interrupt()
    with (
        tempfile.TemporaryDirectory() as name,
        RunDir.create(config, Path(name) / "run") as run,
        closing(Events(run.path)) as events,
        interrupt,
    ):
        work = Workspace(Session(config, run, events, interrupt))
        work.features.tokenise()
        _ = work.full_space
        prepared = time.monotonic() - began
        step, row = _timed(work)
        interrupt.check("the timing")
    trained = single_trainings * config.retrain.steps * step
    scored = trainings * len(work.features.test) * row
    stages = {"prepare": prepared, "train": trained, "score": scored}
    return Measured(
        source=f"{_TIMED} steps timed now",
        seconds=(sum(stages.values()),),
        stages={stage: round(seconds, 3) for stage, seconds in stages.items()},
    )


def _timed(work: Any) -> tuple[float, float]:
    """Return the seconds of a training step, and of scoring a row."""
    from peftsearch.baselines import uniform_baselines
    from peftsearch.evaluate import score
    from peftsearch.training import Job, train

    found = uniform_baselines(work.backbone.sites, work.cost, work.budget.limit)
    if not found:
        raise BudgetError("No uniform architecture fits the budget, so no step can be timed.")
    choices = found.get("uniform-lora") or next(iter(found.values()))
    file = work.session.run.file("timing", "checkpoint.safetensors")
    steps = max(work.config.retrain.steps, _WARM + _TIMED)
    job = Job("timing", "timing", work.architecture(choices), steps, 0, file)
    rows = work.features.test[:_ROWS]
    with train(work.session, work.backbone, work.format, work.features.train,
               replace(job, until=_WARM)) as warm:  # fmt: skip
        before = warm.seconds
    until = replace(job, until=_WARM + _TIMED)
    with train(work.session, work.backbone, work.format, work.features.train, until) as timed:
        step = (timed.seconds - before) / _TIMED
        began = time.monotonic()
        score(work.session, work.backbone.model, work.task, work.format, rows)
        return step, (time.monotonic() - began) / len(rows)
