"""Images in, one score per label out of a head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from peftsearch.formats.base import Feature
from peftsearch.formats.pixels import PixelReader
from peftsearch.formats.sequence_classification import SequenceClassification
from peftsearch.tasks.base import Task
from peftsearch.tasks.rows import Row


class ImageClassification(SequenceClassification):
    """The form of a task for ``AutoModelForImageClassification``.

    Scores, loss and answers are those of a head on texts. Features hold images as they lie; they
    are decoded for a batch, see :class:`~peftsearch.formats.pixels.PixelReader`.

    Args:
        task: The task.
        processor: Image processor of the model.
        config: Configuration of the model.
    """

    def __init__(self, task: Task, processor: Any, config: Any) -> None:
        self.task = task
        self.truncated = 0  # an image is resized, never cut by its length
        self.max_length = task.max_length
        self.num_labels = len(task.labels)
        self._regression = False
        # A model of two towers keeps the settings of images apart.
        self._pixels = PixelReader(processor, getattr(config, "vision_config", config))

    def features(self, rows: Sequence[Row]) -> list[Feature]:
        """Return images, label ids and references."""
        (column,), label = self.task.columns, self.task.label_column
        return [
            Feature({"pixel_values": row[column]}, row[label], self.task.reference(row))
            for row in rows
        ]

    def collate(self, features: Sequence[Feature]) -> dict[str, Tensor]:
        """Return pixel values (batch, channels, height, width) and labels (batch,)."""
        images = [feature.inputs["pixel_values"] for feature in features]
        labels = torch.tensor([feature.target for feature in features], dtype=torch.int64)
        return {"pixel_values": self._pixels.batch(images), "labels": labels}
