"""Measure architectures on the supernet: hard patterns, on search-valid.

The gates say where weights are trained; what a candidate is worth is then measured, since the
size of an alpha is a poor judge (Wang et al. 2021, arXiv 2108.04392). The loss tells
architectures apart on fewer rows than the score does, and costs a text no generation.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from peftsearch import ranks
from peftsearch.baselines import trimmed
from peftsearch.devices.sharding import is_sharded
from peftsearch.discretise import cost_of
from peftsearch.errors import StoppedError
from peftsearch.formats import Feature, Format
from peftsearch.seeds import derive
from peftsearch.session import Session, seed_torch
from peftsearch.supernet.gates import one_hot
from peftsearch.supernet.supernet import Supernet
from peftsearch.tasks import metrics
from peftsearch.tasks.answers import settled
from peftsearch.tasks.base import Task
from peftsearch.tasks.metrics import Answer

_BATCH = 64
#: Of texts, which must be generated to be scored, so many architectures of the least loss are.
_GENERATED = 4
#: Rounds of sampling until enough architectures lie within the budget.
_DRAWS = 40


@dataclass(frozen=True)
class Sample:
    """One measured architecture.

    Attributes:
        candidates: Candidate index of each gate.
        num_params: Its parameters.
        loss: Mean loss on search-valid with the supernet's weights.
        score: Primary metric there; ``None`` where it was not worth generating texts.
    """

    candidates: tuple[int, ...]
    num_params: int
    loss: float
    score: float | None = None


@torch.no_grad()
def draw(supernet: Supernet, limit: int, count: int, seed: int) -> list[tuple[int, ...]]:
    """Draw different architectures within the budget, every candidate alike but for its price.

    Not from the gates: what they dislike must be measured too, or nobody knows what it is worth.
    Where every layer has a limit of its own, hardly a draw keeps to all of them; then choices are
    left out at random until it does.

    Returns:
        Up to ``count`` architectures that cost at most ``limit``.
    """
    seed_torch(derive(seed, "draw"))
    found: dict[tuple[int, ...], None] = {}
    for _ in range(_DRAWS):
        for row in supernet.gates.draw(count, 1.0, 1.0, limit).argmax(-1).tolist():
            if supernet.space.limited:
                order = torch.randperm(len(row)).tolist()
                found[tuple(trimmed(supernet.space, row, limit, order))] = None
            elif cost_of(supernet.space, row) <= limit:
                found[tuple(row)] = None
        if len(found) >= count:
            break
    return [*found][:count]


def measure(
    session: Session,
    supernet: Supernet,
    task: Task,
    task_format: Format,
    features: Sequence[Feature],
    architectures: Sequence[tuple[int, ...]],
) -> list[Sample]:
    """Measure architectures with the supernet's weights, all on the same rows.

    Raises:
        StoppedError: The user asked to stop; measuring starts anew on resume.
    """
    meter = _Meter(session, supernet, task, task_format, features)
    cheap = task.kind != "generation" and not getattr(task_format, "generates", False)
    found = []
    for number, sample in enumerate(meter.each(architectures, scored=cheap), start=1):
        found.append(sample)
        session.emit(
            "discretise", "measure", step=number, steps=len(architectures), loss=sample.loss
        )
    if not cheap:
        best = sorted(range(len(found)), key=lambda i: found[i].loss)[:_GENERATED]
        again = meter.each([found[i].candidates for i in best], scored=True)
        for i, sample in zip(best, again, strict=True):
            found[i] = sample
    return found


class _Meter:
    """A supernet and the rows on which it is measured."""

    def __init__(
        self,
        session: Session,
        supernet: Supernet,
        task: Task,
        task_format: Format,
        features: Sequence[Feature],
    ) -> None:
        self.session, self.supernet = session, supernet
        self.task, self.format = task, task_format
        self.model = supernet.backbone.model.eval()
        # Rows of like length together: less padding, the same scores.
        rows = sorted(features, key=lambda feature: feature.length)
        cut = [rows[i : i + _BATCH] for i in range(0, len(rows), _BATCH)]
        self.batches = [session.to_device(task_format.collate(part)) for part in cut]
        self.sizes = [len(part) for part in cut]
        self.references = [feature.reference for feature in rows]

    def each(self, wanted: Sequence[tuple[int, ...]], *, scored: bool) -> Iterator[Sample]:
        """Measure several, as many at a time as there are processes, one in each of them."""
        at_once = 1 if is_sharded(self.model) else ranks.size()
        for start in range(0, len(wanted), at_once):
            if self.session.interrupt.requested:
                number = self.session.interrupt.signal_number or signal.SIGTERM
                raise StoppedError(number, "Stopped while measuring.")
            now = wanted[start : start + at_once]
            # Who has none left measures the last one too, and nobody asks.
            own = now[min(ranks.rank(), len(now) - 1)]
            yield from ranks.gathered(self.one(own, scored=scored))[: len(now)]

    @torch.no_grad()
    def one(self, candidates: tuple[int, ...], *, scored: bool) -> Sample:
        """Measure one architecture."""
        self.supernet.set(one_hot(list(candidates), self.supernet.width), _BATCH)
        answers: list[Answer] = []
        total, score = 0.0, None
        for batch, size in zip(self.batches, self.sizes, strict=True):
            with self.session.accelerator.autocast():
                if scored:
                    said, mean = self.format.assess(self.model, batch)
                    answers += said
                else:
                    mean = float(self.format.loss(self.model, batch))
            total += mean * size
        if scored:
            said = settled(self.format, answers, self.references)
            score = metrics.score(self.task.metrics, self.references, said)[self.task.metric]
        cost = cost_of(self.supernet.space, candidates)
        return Sample(tuple(candidates), cost, total / len(self.references), score)
