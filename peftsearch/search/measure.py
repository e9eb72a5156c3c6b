"""Measure architectures on the supernet: hard patterns, on search-valid.

The gates say where to look; what they propose is then measured, since the size of an alpha is
a poor judge of worth (Wang et al. 2021, arXiv 2108.04392). The loss tells architectures apart on
fewer rows than the score does, and costs a text no generation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

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
#: Share of uniform sampling among the measured architectures: the gates may be wrong.
_EXPLORATION = 0.3
#: Sampled architectures that use less of the budget than this are passed over.
_LEAST_USE = 0.7
#: Rounds of sampling until enough architectures lie near the budget.
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
    """Draw different architectures near the budget from the gates.

    Returns:
        Up to ``count`` architectures that cost at most ``limit``; those near it come first.
    """
    seed_torch(derive(seed, "draw"))
    near: dict[tuple[int, ...], None] = {}
    far: dict[tuple[int, ...], None] = {}
    for _ in range(_DRAWS):
        for row in supernet.gates.draw(count, 1.0, _EXPLORATION, limit).argmax(-1).tolist():
            cost = cost_of(supernet.space, row)
            if cost <= limit:
                (near if cost >= _LEAST_USE * limit else far)[tuple(row)] = None
        if len(near) >= count:
            break
    return [*near, *far][:count]


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
