"""Measure architectures on the supernet: hard patterns, on search-valid.

The gates say where weights are trained; what a candidate is worth is then measured, since the
size of an alpha is a poor judge (Wang et al. 2021, arXiv 2108.04392). The loss tells
architectures apart on fewer rows than the score does, and costs a text no generation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from peftsearch.baselines import trimmed
from peftsearch.discretise import cost_of
from peftsearch.errors import StoppedError
from peftsearch.formats import Feature, Format
from peftsearch.seeds import derive
from peftsearch.session import Session, seed_torch
from peftsearch.supernet.gates import one_hot
from peftsearch.supernet.supernet import Supernet
from peftsearch.tasks import metrics
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


@torch.no_grad()
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
    model = supernet.backbone.model.eval()
    # Rows of like length together: less padding, the same scores.
    rows = sorted(features, key=lambda feature: len(feature.inputs["input_ids"]))
    batches = [
        session.to_device(task_format.collate(rows[i : i + _BATCH]))
        for i in range(0, len(rows), _BATCH)
    ]
    sizes = [len(rows[i : i + _BATCH]) for i in range(0, len(rows), _BATCH)]

    def seen(candidates: tuple[int, ...], *, scored: bool) -> Sample:
        """Measure one."""
        if session.interrupt.signal_number is not None:
            raise StoppedError(session.interrupt.signal_number, "Stopped while measuring.")
        supernet.set(one_hot(list(candidates), supernet.width), _BATCH)
        answers: list[Answer] = []
        total = 0.0
        for batch, size in zip(batches, sizes, strict=True):
            with session.accelerator.autocast():
                if scored:
                    said, mean = task_format.assess(model, batch)
                    answers += said
                else:
                    mean = float(task_format.loss(model, batch))
            total += mean * size
        score = metrics.score(task.metrics, references, answers)[task.metric] if scored else None
        cost = cost_of(supernet.space, candidates)
        return Sample(tuple(candidates), cost, total / len(rows), score)

    references = [feature.reference for feature in rows]
    cheap = task.kind != "generation"
    found = []
    for number, candidates in enumerate(architectures, start=1):
        found.append(seen(candidates, scored=cheap))
        session.emit(
            "discretise", "measure", step=number, steps=len(architectures), loss=found[-1].loss
        )
    if not cheap:
        for i in sorted(range(len(found)), key=lambda i: found[i].loss)[:_GENERATED]:
            found[i] = seen(found[i].candidates, scored=True)
    return found
