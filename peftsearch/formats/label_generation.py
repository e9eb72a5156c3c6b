"""Text in, label word out, written freely, for encoder-decoder models.

Trained as :class:`~peftsearch.formats.text_to_text.TextToText`; but a prediction is what the model
writes, read as :mod:`peftsearch.formats.written_labels` says.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from peftsearch.formats.generation import Generation
from peftsearch.formats.text_to_text import TextToText
from peftsearch.formats.written_labels import WrittenLabels
from peftsearch.tasks.base import Task


class LabelGeneration(TextToText):
    """The text-to-text form of a task with ``scoring: generation``.

    Args:
        task: The task.
        tokenizer: Tokenizer of the model.
        config: Configuration of the model.

    Raises:
        ConfigError: The task has no template, or two label words have the same tokens.
    """

    generates = True

    def __init__(self, task: Task, tokenizer: Any, config: Any) -> None:
        super().__init__(task, tokenizer, config)
        self._generation = Generation(task, tokenizer, config)
        self._written = WrittenLabels(tokenizer, self._targets, self._numbers)

    @torch.no_grad()
    def predict(self, model: Any, batch: dict[str, Tensor]) -> list[float]:
        """The label ids, or numbers for regression, of what the model writes."""
        return [self._written.value(text) for text in self._generation.predict(model, batch)]

    @torch.no_grad()
    def assess(self, model: Any, batch: dict[str, Tensor]) -> tuple[list[float], float]:
        """Predictions, and the mean token loss of the right words."""
        return self.predict(model, batch), float(self.loss(model, batch))
