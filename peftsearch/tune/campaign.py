"""A study from end to end: the folder, the worker or the crew, and what is written.

Place in the flow: command line -> **campaign** -> desks, workers, results, page.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna

from peftsearch.baselines import UNIFORM
from peftsearch.config import RunConfig
from peftsearch.errors import ConfigError, DivergedError, PeftSearchError, StoppedError
from peftsearch.interrupt import Interrupt
from peftsearch.rundir import read_json, write_json
from peftsearch.tune import crew, results
from peftsearch.tune.desk import Desk
from peftsearch.tune.patience import Patience
from peftsearch.tune.plan import Plan, check
from peftsearch.tune.space import read_space
from peftsearch.tune.storage import file_of, hidden, open_storage
from peftsearch.tune.worker import Worker

#: What says that a folder is that of a study.
MARK = "study.json"


@dataclass(frozen=True)
class Team:
    """What the workers of a study have in common.

    Attributes:
        out: Folder of the study.
        url: Of the storage, in full.
        module: Module that is run as a trial.
        lease: See :class:`~peftsearch.tune.desk.Desk`.
        patience: Seconds for which a storage may be away.
        attempts: See :class:`~peftsearch.tune.desk.Desk`.
        tell: Given a sentence now and then.
    """

    out: Path
    url: str
    module: str
    lease: float
    patience: float
    attempts: int
    tell: Callable[[str], None]


def plan_of(base: RunConfig, options: Mapping[str, Any]) -> Plan:
    """Return the study that is asked for.

    Raises:
        ConfigError: The tune space is wrong.
    """
    objectives = tuple(options["objectives"].split(","))
    plan = Plan(
        name=options["study"],
        base=replace(base, out=None),
        space=read_space(options["tune_space"], base),
        sampler=options["sampler"],
        pruner=options["pruner"] or ("hyperband" if len(objectives) == 1 else "none"),
        objectives=objectives,
        trials=options["trials"],
    )
    check(plan)
    return plan


def baselines_of(plan: Plan) -> list[Plan]:
    """Return the studies of the uniform baselines of which the rate is tuned."""
    found = [plan.of_baseline(name) for name in UNIFORM]
    return [each for each in found if each.space]


def work(team: Team, plans: Sequence[Plan], max_seconds: float | None = None) -> list[Desk]:
    """Be one worker until the studies are complete; return them.

    Raises:
        StoppedError: Asked to stop; what is there so far is written.
    """
    deadline = None if max_seconds is None else time.monotonic() + max_seconds
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with Interrupt() as interrupt:
        desks: list[Desk] = []
        worker = Worker(desks, team.out, team.module, interrupt, deadline, team.tell)
        desks += _desks(team, plans, worker.stop_if_asked)
        try:
            worker.run()
        except StoppedError:
            with suppress(PeftSearchError):
                results.write(team.out, desks, hidden(team.url))
            raise
    return desks


def lead(team: Team, plans: Sequence[Plan], words: Sequence[str], workers: int) -> list[Desk]:
    """Let several workers work until the studies are complete; return them.

    Args:
        team: What they have in common.
        plans: The studies.
        words: The command of one worker.
        workers: How many.

    Raises:
        StoppedError: Asked to stop.
        PeftSearchError: No worker came to its end.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with Interrupt() as interrupt:
        desks = _desks(team, plans, lambda: interrupt.check("the beginning"))
        crew.run(words, workers, team.url, interrupt)
    return desks


def _desks(team: Team, plans: Sequence[Plan], stop: Callable[[], None]) -> list[Desk]:
    mark = {"format": 1, "study": plans[0].name, "storage": _place(team)}
    _require(team.out, mark)
    opened = open_storage(team.url)
    write_json(team.out / MARK, mark)
    patience = Patience(team.patience, stop, team.tell)
    return [Desk(plan, opened, patience, team.lease, team.attempts) for plan in plans]


def _place(team: Team) -> str:
    """Return the storage as a folder remembers it: one inside may move with the folder."""
    path = file_of(team.url)
    inside = path is not None and path.is_relative_to(team.out.absolute())
    return path.name if path is not None and inside else hidden(team.url)


def _require(out: Path, mark: Mapping[str, Any]) -> None:
    """Refuse a folder in which anything but this study lies.

    Raises:
        ConfigError: It does.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file, not a folder.", "Choose another with --out DIR.")
    if (out / MARK).is_file():
        found = read_json(out / MARK)
        if found != mark:
            message = f"{out} belongs to the study {found.get('study')} in {found.get('storage')}."
            raise ConfigError(message, "Choose another folder with --out DIR.")
        return
    # Of a storage that lies in the folder, some files may be there before the mark is.
    if out.is_dir() and any(not p.name.startswith(("study.", ".tmp-")) for p in out.iterdir()):
        message = f"{out} is not empty, and holds no study to go on with."
        raise ConfigError(message, "Choose another folder with --out DIR.")


def finish(team: Team, desks: Sequence[Desk]) -> dict[str, Any]:
    """Write everything; return the content of ``tune.json``.

    Raises:
        PeftSearchError: No trial has a score.
    """
    from peftsearch.tune.page import write_page

    found = results.write(team.out, desks, hidden(team.url))
    write_page(team.out, desks, found)
    if found["best"] is None:
        reasons = sorted({each["reason"] for each in found["failures"]})
        kind = DivergedError if all("diverged" in r for r in reasons) else PeftSearchError
        message = f"None of {found['trials']} trials came to its end: {'; '.join(reasons)}"
        raise kind(message, f"See {team.out / 'trials'}/*.log; narrow the space: --tune-space.")
    return found
