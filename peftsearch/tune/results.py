"""What a study has found, as tables and files: ``best.yaml``, ``trials.csv``, ``tune.json``.

Place in the flow: study -> **results** -> page. Written whenever a worker ends or is stopped.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from optuna.trial import FrozenTrial, TrialState

from peftsearch import config as configuration
from peftsearch.config import RunConfig
from peftsearch.environment import versions
from peftsearch.errors import paste
from peftsearch.rundir import write_json, write_text
from peftsearch.tune.desk import ATTEMPTS, REASON, Desk
from peftsearch.tune.plan import Plan

FORMAT = 1
_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


@dataclass(frozen=True)
class Row:
    """One trial.

    Attributes:
        number: Of the trial.
        state: ``complete``, ``pruned``, ``failed``, ``running`` or ``waiting``.
        score: Selection score of its short training, at the last rung; ``None`` without one.
        num_params: Parameters of what it trained.
        seconds: Wall time of its last process.
        reason: Why it failed.
        attempts: Attempts that failed by no fault of its own, each with the reason.
        params: Values by key.
        rungs: Score by reported step.
    """

    number: int
    state: str
    score: float | None
    num_params: int | None
    seconds: float
    reason: str
    attempts: tuple[str, ...]
    params: Mapping[str, Any]
    rungs: Mapping[int, float]


def rows_of(desk: Desk) -> list[Row]:
    """Return the trials of a study, by number."""
    return [_row(trial) for trial in desk.patience(desk.trials)]


def _row(trial: FrozenTrial) -> Row:
    attrs = trial.user_attrs
    score = attrs.get("score")
    if score is None and trial.intermediate_values:
        score = trial.intermediate_values[max(trial.intermediate_values)]
    return Row(
        number=trial.number,
        state=_STATES[trial.state],
        score=score,
        num_params=attrs.get("num_params"),
        seconds=float(attrs.get("seconds", 0.0)),
        reason=str(attrs.get(REASON, "")),
        attempts=tuple(attrs.get(ATTEMPTS, ())),
        params=trial.params,
        rungs=trial.intermediate_values,
    )


def best_of(rows: Sequence[Row]) -> Row | None:
    """Return the complete trial of the highest score; of equal ones the smallest."""
    complete = [row for row in rows if row.state == "complete"]
    return min(complete, key=lambda r: (-_of(r), r.num_params or 0, r.number), default=None)


def front_of(rows: Sequence[Row]) -> list[Row]:
    """Return the complete trials than which none is both smaller and better, smallest first."""
    front: list[Row] = []
    complete = [row for row in rows if row.state == "complete"]
    for row in sorted(complete, key=lambda r: (r.num_params or 0, -_of(r), r.number)):
        if not front or _of(row) > _of(front[-1]):
            front.append(row)
    return front


def _of(row: Row) -> float:
    return -math.inf if row.score is None else row.score


def settings(plan: Plan, row: Row) -> dict[str, Any]:
    """Return what makes a trial's configuration, and nothing that a preset says already.

    So ``--preset thorough`` behind ``--config best.yaml`` changes what a preset is for.
    """
    base = configuration.resolve(flags={"preset": plan.base.preset})
    found = _changed(plan.config(row.params), base)
    found.pop("out", None)
    found.pop("device", None)
    return {"preset": plan.base.preset, **found}


def _changed(config: RunConfig, base: RunConfig) -> dict[str, Any]:
    def walk(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in a.items():
            if isinstance(value, Mapping):
                inner = walk(value, b.get(key) or {})
                found |= {key: inner} if inner else {}
            elif value != b.get(key):
                found[key] = list(value) if isinstance(value, tuple) else value
        return found

    return walk(configuration.to_mapping(config), configuration.to_mapping(base))


def write_settings(path: Path, plan: Plan, row: Row) -> None:
    """Write a trial's settings as a file for ``--config``."""
    head = [
        f"Trial {row.number} of {plan.name}: {row.score:.4f} on the selection split with "
        f"{row.num_params:,} parameters.",
        f"Use: {paste('peftsearch', 'run', '--config', path)}",
    ]
    body = yaml.safe_dump(settings(plan, row), sort_keys=False, allow_unicode=True)
    write_text(path, "".join(f"# {line}\n" for line in head) + body)


def table(plan: Plan, rows: Sequence[Row]) -> str:
    """Return ``trials.csv``."""
    keys = [each.key for each in plan.space]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    header = ["trial", "state", "score", "num_params", "seconds", "reason", "attempts"]
    writer.writerow([*header, *keys])
    for row in rows:
        facts = [row.number, row.state, row.score, row.num_params, round(row.seconds, 3)]
        values = [row.params.get(key, "") for key in keys]
        writer.writerow([*facts, row.reason, "; ".join(row.attempts), *values])
    return buffer.getvalue()


def document(desks: Sequence[Desk], shown: str) -> dict[str, Any]:
    """Return the content of ``tune.json``; the study of the search, and those of baselines."""
    studies = [study(desk) for desk in desks]
    return {
        "format": FORMAT,
        "storage": shown,
        **studies[0],
        "baselines_tuned": len(studies) > 1,
        "baselines": {s["baseline"]: s for s in studies[1:]},
        "fairness": fairness(studies),
        "versions": versions(),
    }


def study(desk: Desk) -> dict[str, Any]:
    """Return what one study has found."""
    plan, rows = desk.plan, rows_of(desk)
    best = best_of(rows)
    states = Counter(row.state for row in rows)
    return {
        "study": plan.name,
        "baseline": plan.baseline,
        "sampler": plan.sampler,
        "pruner": plan.pruner,
        "objectives": list(plan.objectives),
        "trials": plan.trials,
        "states": {name: states.get(name, 0) for name in _STATES.values()},
        "seconds": round(sum(row.seconds for row in rows), 3),
        "best": None if best is None else _of_trial(best),
        "front": [_of_trial(r) for r in front_of(rows)] if len(plan.objectives) > 1 else [],
        "failures": [
            {"trial": row.number, "reason": row.reason} for row in rows if row.state == "failed"
        ],
    }


def _of_trial(row: Row) -> dict[str, Any]:
    return {
        "trial": row.number,
        "score": row.score,
        "num_params": row.num_params,
        "params": dict(row.params),
    }


def fairness(studies: Sequence[Mapping[str, Any]]) -> str:
    """Say whether the baselines got what the search got."""
    if len(studies) < 2:
        return (
            "The baselines were not tuned: they got no trials and no seconds. A comparison with "
            "them favours the search. Tune them too with --tune-baselines."
        )
    seconds = [float(s["seconds"]) for s in studies]
    return (
        f"Each of the {len(studies) - 1} uniform baselines got as many trials as the search, "
        f"{studies[0]['trials']}, and not as many seconds: {min(seconds[1:]):,.0f} to "
        f"{max(seconds[1:]):,.0f} against {seconds[0]:,.0f}, since their trials have no search."
    )


def write(out: Path, desks: Sequence[Desk], shown: str) -> dict[str, Any]:
    """Write every file but the page; return the content of ``tune.json``."""
    found = document(desks, shown)
    for desk in desks:
        plan, rows = desk.plan, rows_of(desk)
        folder = out / "baselines" / plan.baseline if plan.baseline else out
        write_text(folder / "trials.csv", table(plan, rows))
        best = best_of(rows)
        if best is not None:
            write_settings(folder / "best.yaml", plan, best)
        for row in front_of(rows) if len(plan.objectives) > 1 else ():
            write_settings(folder / "pareto" / f"{row.number:04d}.yaml", plan, row)
    write_json(out / "tune.json", found)
    return found
