"""The race: short real trainings of a shortlist, scored on the selection split.

The gates propose, the supernet measures, the race decides. Contestants are the best of the
knapsack over the gates, the best measured on the supernet, and every uniform baseline that
fits, so on the selection split the result is never worse than the best uniform one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from peftsearch.architecture import Architecture
from peftsearch.evaluate import score
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


def run_race(work: Workspace, contestants: Sequence[Contestant]) -> dict[str, object]:
    """Train every contestant briefly and choose.

    A contestant that finished before an interruption is not trained again.

    Returns:
        The content of ``race.json``. The winner has the best selection score; among equals the
        one with fewer parameters, then the one named first.
    """
    session, backbone, task = work.session, work.backbone, work.task
    steps = session.config.race.steps
    features, selection = work.features.race_train, work.features.selection
    rows = []
    for contestant in contestants:
        result = session.run.file("race", f"{contestant.name}.result.json")
        if not result.is_file():
            job = Job(
                name=contestant.name,
                stage="discretise",
                architecture=contestant.architecture,
                steps=steps,
                seed=derive(session.config.seed, "race"),
                checkpoint=session.run.file("race", f"{contestant.name}.checkpoint.safetensors"),
            )
            contestant.architecture.save(session.run.file("race", f"{contestant.name}.json"))
            trained = train(session, backbone, work.format, features, job)
            value = score(session, backbone.model, task, work.format, selection)
            trained.remove()
            session.run.write_json(
                f"race/{result.name}", {"score": value[task.metric], "seconds": trained.seconds}
            )
            job.checkpoint.unlink(missing_ok=True)
        done = session.run.read_json(f"race/{result.name}")
        rows.append(_row(contestant, steps, done["score"], done["seconds"]))
    best = min(
        range(len(rows)),
        key=lambda i: (-float(rows[i]["score"]), rows[i]["num_params"], i),  # type: ignore[arg-type]
    )
    return {
        "format": 1,
        "metric": task.metric,
        "steps": steps,
        "rows": len(selection),
        "contestants": rows,
        "winner": rows[best]["name"],
    }


def _row(contestant: Contestant, steps: int, value: float, seconds: float) -> dict[str, object]:
    return {
        "name": contestant.name,
        "source": contestant.source,
        "num_params": contestant.architecture.num_params,
        "steps": steps,
        "score": value,
        "seconds": seconds,
        "summary": summary(contestant.architecture),
    }
