"""The race: short real trainings of a shortlist, scored on the selection split.

The gates propose, the supernet measures, the race decides. Contestants are the best of the
knapsack over the gates, the best measured on the supernet, and the uniform architecture of every
method of the space, so on the selection split the result is never worse than the best of these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from peftsearch.architecture import Architecture
from peftsearch.errors import DivergedError
from peftsearch.evaluate import score
from peftsearch.rundir import write_json
from peftsearch.search.measure import Sample
from peftsearch.seeds import derive
from peftsearch.training import Job, train
from peftsearch.workspace import Workspace


@dataclass(frozen=True)
class Contestant:
    """One entry of the shortlist.

    Attributes:
        name: ``gates-1``, ``supernet-1``, ``uniform-lora``, ...
        source: ``gates``, ``supernet`` or ``uniform``.
        architecture: What it trains.
    """

    name: str
    source: str
    architecture: Architecture


def summary(architecture: Architecture) -> str:
    """Return how many sites each method got, e.g. ``lora 3 sites, adapter 1 site``."""
    counts = Counter(choice.method for choice in architecture.active)
    parts = [f"{name} {n} site{'s' * (n > 1)}" for name, n in counts.most_common()]
    return ", ".join(parts) or "nothing"


def best_measured(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Return the best by score, then by loss, then the cheaper."""
    return sorted(samples, key=lambda s: (-s.score, s.loss, s.num_params))[:count]


def run_race(work: Workspace, contestants: Sequence[Contestant]) -> dict[str, Any]:
    """Train every contestant briefly and choose.

    A contestant that finished before an interruption is not trained again. One that diverges
    loses.

    Returns:
        The content of ``race.json``. The winner has the best selection score; among equals the
        one with fewer parameters, then the one named first.

    Raises:
        DivergedError: All of them diverged.
    """
    config, task = work.config, work.task
    rows = []
    for contestant in contestants:
        file = work.session.run.file("race", f"{contestant.name}.result.json")
        job = Job(
            name=contestant.name,
            stage="discretise",
            architecture=contestant.architecture,
            steps=config.race.steps,
            seed=derive(config.seed, "race"),
            checkpoint=file.with_name(f"{contestant.name}.checkpoint.safetensors"),
        )
        record = job.finished(file)
        if record is None:
            record = _train(work, job)
            contestant.architecture.save(file.with_name(f"{contestant.name}.json"))
            if record["score"] is not None:  # what diverged is tried again on resume
                write_json(file, record)
            job.checkpoint.unlink(missing_ok=True)
        rows.append(_row(contestant, job.steps, record))
    finished = [i for i, row in enumerate(rows) if row["score"] is not None]
    if not finished:
        raise DivergedError("Every contestant of the race diverged.", rows[0]["hint"])
    best = min(finished, key=lambda i: (-rows[i]["score"], rows[i]["num_params"], i))
    return {
        "format": 1,
        "metric": task.metric,
        "steps": config.race.steps,
        "rows": len(work.features.selection),
        "contestants": rows,
        "winner": rows[best]["name"],
    }


def _train(work: Workspace, job: Job) -> dict[str, Any]:
    """Train and score; one that diverges has no score and cannot win."""
    record: dict[str, Any] = {"fingerprint": job.fingerprint, "score": None, "seconds": None}
    try:
        trained = train(work.session, work.backbone, work.format, work.features.race_train, job)
        with trained:
            features = work.features.selection
            found = score(work.session, work.backbone.model, work.task, work.format, features)
    except DivergedError as error:
        return record | {"diverged": str(error), "hint": error.hint}
    return record | {"score": found[work.task.metric], "seconds": trained.seconds}


def _row(contestant: Contestant, steps: int, record: dict[str, Any]) -> dict[str, Any]:
    row = {
        "name": contestant.name,
        "source": contestant.source,
        "num_params": contestant.architecture.num_params,
        "steps": steps,
        "score": record["score"],
        "seconds": record["seconds"],
        "summary": summary(contestant.architecture),
    }
    if "diverged" in record:
        row |= {"diverged": record["diverged"], "hint": record["hint"]}
        row["summary"] += ", diverged"
    return row
