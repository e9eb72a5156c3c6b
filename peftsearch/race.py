"""The race: real trainings from scratch, by successive halving, scored on the selection split.

All contestants train to the first rung; the better half goes on, from where it stands, to the
next, and so on. What a strategy proposes is decided here.

Source: successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943), as a race of
configurations in Hyperband (Li et al. 2018). Ours keeps one learning-rate schedule, that of the
whole training, so that going on changes nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from peftsearch import effort
from peftsearch.architecture import Architecture
from peftsearch.errors import DivergedError
from peftsearch.evaluate import predictions
from peftsearch.rundir import write_json
from peftsearch.seeds import derive
from peftsearch.tasks import metrics
from peftsearch.training import Job, train
from peftsearch.workspace import Workspace

#: Resamples of the selection rows.
_RESAMPLES = 200
#: Source of the contestants that are one method everywhere.
UNIFORM = "uniform"


@dataclass(frozen=True)
class Contestant:
    """One entry of a race.

    Attributes:
        name: ``gates-1``, ``uniform-lora``, ``random-2``, ...
        source: Where it comes from: the name without its number.
        architecture: What it trains.
        stand_in: Whether this is the nearest one of the space, in place of one that cannot race.
    """

    name: str
    source: str
    architecture: Architecture
    stand_in: bool = False


class Trials(Protocol):
    """Real trainings of architectures, each as far along as is asked for.

    Attributes:
        spent: Single trainings so far, scorings included; going on with a training costs the
            difference only.
    """

    spent: float

    @property
    def scoring(self) -> float:
        """Cost of one scoring, in single trainings."""
        ...

    def score(self, contestant: Contestant, share: float) -> float | None:
        """Train to a share of a single training and score; ``None`` if it diverged."""
        ...

    def knows(self, architecture: Architecture) -> bool:
        """Whether this architecture can be trained here."""
        ...

    def loss(self, contestant: Contestant, share: float) -> float:
        """Return what tells equal scores apart at a share: the lower one goes on.

        The training loss of one that gives every row the same answer, so that its score says
        nothing; 0 for all others.
        """
        ...

    def noise(self, one: Contestant, other: Contestant) -> float:
        """Return the standard error of the difference of their last scores."""
        ...


@dataclass
class RealTrials:
    """Trainings of a run, in a folder of it; what is there already is not trained again.

    Attributes:
        work: The run.
        purpose: Name of the folder, and of the seed.
    """

    work: Workspace
    purpose: str = "race"
    spent: float = 0.0
    reached: dict[str, float] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def scoring(self) -> float:
        """Cost of one scoring, in single trainings."""
        return effort.measure_trainings(self.work.config, 1, len(self.work.features.selection))

    def score(self, contestant: Contestant, share: float) -> float | None:
        """Train on to a share and score on the selection split."""
        name = contestant.name
        if share > self.reached.get(name, 0.0):
            self.spent += share - self.reached.get(name, 0.0) + self.scoring
            self.reached[name] = share
        steps = self._steps(share)
        file = self.work.session.run.file(self.purpose, f"{name}.result.json")
        job = Job(
            name=name,
            stage="discretise",
            architecture=contestant.architecture,
            steps=self.work.config.retrain.steps,
            seed=derive(self.work.config.seed, self.purpose),
            checkpoint=file.with_name(f"{name}.checkpoint.safetensors"),
            until=steps,
        )
        blank: dict[str, Any] = {"fingerprint": job.fingerprint, "scores": {}, "seconds": 0.0}
        record = self.records.get(name) or job.finished(file) or blank
        if str(steps) not in record["scores"]:
            contestant.architecture.save(file.with_name(f"{name}.json"))
            record = self._train(job, record)
            if "diverged" not in record:  # what diverged is tried again on resume
                write_json(file, record)
        self.records[name] = record
        found: float | None = record["scores"][str(steps)]
        return found

    def knows(self, architecture: Architecture) -> bool:
        """Every architecture can be trained."""
        return True

    def loss(self, contestant: Contestant, share: float) -> float:
        """Return the training loss of one that tells no rows apart; all train on the same rows."""
        losses = self.records[contestant.name].get("losses_of_constant", {})
        return float(losses.get(str(self._steps(share)), 0.0))

    def noise(self, one: Contestant, other: Contestant) -> float:
        """Return the standard deviation of the difference over resamples of the selection rows.

        Both are scored on the same resamples (a paired bootstrap), so this holds for any metric.
        """
        task, references = self.work.task, [f.reference for f in self.work.features.selection]
        answers = [self.records[c.name]["predictions"] for c in (one, other)]
        rng = np.random.default_rng(derive(self.work.config.seed, "bootstrap"))
        found = []
        for _ in range(_RESAMPLES):
            rows = rng.integers(len(references), size=len(references)).tolist()
            right = [references[i] for i in rows]
            a, b = (
                metrics.score((task.metric,), right, [said[i] for i in rows])[task.metric]
                for said in answers
            )
            found.append(a - b)
        return float(np.std(found))

    def _steps(self, share: float) -> int:
        return max(1, round(share * self.work.config.retrain.steps))

    def _train(self, job: Job, record: dict[str, Any]) -> dict[str, Any]:
        """Train and score; one that diverges has no score and cannot win."""
        work = self.work
        try:
            trained = train(work.session, work.backbone, work.format, work.features.race_train, job)
            with trained:
                features = work.features.selection
                said = predictions(work.session, work.backbone.model, work.format, features)
                found = metrics.score(work.task.metrics, [f.reference for f in features], said)
        except DivergedError as error:
            lost = {"diverged": str(error), "hint": error.hint}
            return record | lost | {"scores": {**record["scores"], str(job.until): None}}
        scores = {**record["scores"], str(job.until): found[work.task.metric]}
        record = record | {"scores": scores, "seconds": trained.seconds, "predictions": said}
        if all(answer == said[0] for answer in said):
            losses = record.get("losses_of_constant", {})
            record["losses_of_constant"] = {**losses, str(job.until): trained.final_loss}
        return record

    def tidy(self) -> None:
        """Remove the checkpoints: nobody trains on."""
        for path in self.work.session.run.file(self.purpose).glob("*.checkpoint.safetensors"):
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Standing:
    """How far a contestant came.

    Attributes:
        contestant: Who.
        scores: Selection score by share of a training, as far as it went; ``None``: diverged.
        loss: What tells equal scores apart there; see ``Trials.loss``.
    """

    contestant: Contestant
    scores: dict[float, float | None]
    loss: float = 0.0

    @property
    def share(self) -> float:
        """The last rung it reached; 0 if it never trained."""
        return max(self.scores, default=0.0)

    @property
    def score(self) -> float | None:
        """Its score there."""
        return self.scores.get(self.share)


def halving(
    trials: Trials, contestants: Sequence[Contestant], shares: Sequence[float]
) -> list[Standing]:
    """Race by successive halving.

    Args:
        trials: Trains and scores.
        contestants: At least one.
        shares: Rising shares of a single training.

    Returns:
        The standings, the winner first: who came further, then the better score, then who
        tells rows apart, then the lower loss of those that do not, then the one with fewer
        parameters, then the one named first. Where a uniform architecture came as far
        as the best and lies within one standard error of it, the simpler one wins.
    """
    standings = [Standing(contestant, {}) for contestant in contestants]
    alive = list(range(len(standings)))
    for share in shares:
        for i in alive:
            contestant, scores = standings[i].contestant, standings[i].scores
            scores = {**scores, share: trials.score(contestant, share)}
            standings[i] = Standing(contestant, scores, trials.loss(contestant, share))
        alive = [i for i in alive if standings[i].score is not None]
        alive = sorted(alive, key=lambda i: _rank(standings[i], i))[: math.ceil(len(alive) / 2)]
        if len(alive) < 2:
            break
    order = sorted(range(len(standings)), key=lambda i: _rank(standings[i], i))
    return _simplest_first(trials, [standings[i] for i in order])


def _simplest_first(trials: Trials, ranked: list[Standing]) -> list[Standing]:
    """Put the best uniform architecture first if the best of all is not surely better."""
    best = ranked[0]
    if best.score is None:
        return ranked
    for place, other in enumerate(ranked[1:], start=1):
        if other.share < best.share or other.score is None:
            break
        if not other.contestant.source == UNIFORM != best.contestant.source:
            continue
        if best.score - other.score <= trials.noise(best.contestant, other.contestant):
            return [other, *ranked[:place], *ranked[place + 1 :]]
    return ranked


def _rank(standing: Standing, place: int) -> tuple[bool, float, float, float, int, int]:
    value = standing.score
    lost = value is None
    fewer = standing.contestant.architecture.num_params
    return lost, -standing.share, -(value or 0.0), standing.loss, fewer, place


def race_json(work: Workspace, standings: Sequence[Standing], trials: RealTrials) -> dict[str, Any]:
    """Return the content of ``race.json``, the winner first.

    Raises:
        DivergedError: Everyone diverged.
    """
    rows = [_row(work, standing, trials) for standing in standings]
    if "diverged" in rows[0]:  # a strategy that races nobody has no score either
        raise DivergedError("Every contestant of the race diverged.", rows[0]["hint"])
    return {
        "format": 1,
        "metric": work.task.metric,
        "steps": max(row["steps"] for row in rows),
        "rows": len(work.features.selection),
        "trainings": round(trials.spent, 4),
        "contestants": rows,
        "winner": rows[0]["name"],
    }


def _row(work: Workspace, standing: Standing, trials: RealTrials) -> dict[str, Any]:
    contestant = standing.contestant
    record = trials.records.get(contestant.name, {})
    row: dict[str, Any] = {
        "name": contestant.name,
        "source": contestant.source,
        "num_params": contestant.architecture.num_params,
        "steps": round(standing.share * work.config.retrain.steps),
        "score": standing.score,
        "scores": {f"{share:g}": score for share, score in standing.scores.items()},
        "seconds": record.get("seconds"),
        "summary": summary(contestant.architecture),
    }
    if "losses_of_constant" in record:
        row["losses_of_constant"] = record["losses_of_constant"]
    if "diverged" in record:
        row |= {"diverged": record["diverged"], "hint": record["hint"]}
        row["summary"] += ", diverged"
    return row


def summary(architecture: Architecture) -> str:
    """Return how many sites each method got, e.g. ``lora 3 sites, adapter 1 site``."""
    counts = Counter(choice.method for choice in architecture.active)
    parts = [f"{name} {n} site{'s' * (n > 1)}" for name, n in counts.most_common()]
    return ", ".join(parts) or "nothing"
