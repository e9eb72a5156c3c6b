"""Score a model on rows: predictions in batches, then the task's metrics."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from peftsearch import ranks
from peftsearch.devices.sharding import is_sharded
from peftsearch.formats import Feature, Format
from peftsearch.session import Session
from peftsearch.tasks import metrics
from peftsearch.tasks.answers import settled
from peftsearch.tasks.base import Task
from peftsearch.tasks.metrics import Answer

_BATCH = 64


@torch.no_grad()
def predictions(
    session: Session, model: torch.nn.Module, task_format: Format, features: Sequence[Feature]
) -> list[Answer]:
    """Return one prediction per row, in order; of several processes each predicts a share."""
    model.eval()
    found: list[Answer] = []
    # Rows of like length together: less padding, the same predictions.
    order = sorted(range(len(features)), key=lambda i: features[i].length)
    own = order if is_sharded(model) else order[ranks.rank() :: ranks.size()]
    for start in range(0, len(own), _BATCH):
        rows = [features[i] for i in own[start : start + _BATCH]]
        batch = session.to_device(task_format.collate(rows))
        with session.accelerator.autocast():
            found.extend(task_format.predict(model, batch))
    # By the number of the row, so that nothing is padded to equal shares or counted twice.
    placed: dict[int, Answer] = {}
    for part in ranks.gathered(dict(zip(own, found, strict=True))):
        placed |= part
    every = [placed[i] for i in range(len(features))]
    return settled(task_format, every, [feature.reference for feature in features])


def score(
    session: Session,
    model: torch.nn.Module,
    task: Task,
    task_format: Format,
    features: Sequence[Feature],
) -> dict[str, float]:
    """Predict, and return every metric of the task; the first is the primary one.

    Raises:
        DivergedError: A prediction is not a finite number.
    """
    predicted = predictions(session, model, task_format, features)
    return metrics.score(task.metrics, [feature.reference for feature in features], predicted)
