"""Text in, label word out, written freely, for decoder-only models.

Trained as :class:`~peftsearch.formats.causal_labels.CausalLabels`; but a prediction is what the
model writes, read as :mod:`peftsearch.formats.written_labels` says. It may write a few tokens more
than the longest label word has, so that a word which goes on is seen to be no label.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from peftsearch.formats.causal_labels import CausalLabels
from peftsearch.formats.causal_writer import CausalWriter
from peftsearch.formats.written_labels import WrittenLabels
from peftsearch.tasks.base import Task

#: Tokens beyond the longest label word; numbers may be written with more digits too.
_MORE = 4


class CausalLabelGeneration(CausalLabels):
    """The form of a task with ``scoring: generation``; arguments as of the base class."""

    generates = True

    def __init__(self, task: Task, tokenizer: Any, config: Any) -> None:
        super().__init__(task, tokenizer, config)
        self._room += _MORE
        self._writer = CausalWriter(tokenizer, self.end, self.pad, self._room)
        self._written = WrittenLabels(tokenizer, self._targets, self._numbers)

    def predict(self, model: Any, batch: dict[str, Tensor]) -> list[float]:
        """The label ids, or numbers for regression, of what the model writes."""
        texts = self._writer.texts(model, batch)
        return [self._written.value(text.strip()) for text in texts]

    @torch.no_grad()
    def assess(self, model: Any, batch: dict[str, Tensor]) -> tuple[list[float], float]:
        """Predictions, and the mean token loss of the right words."""
        return self.predict(model, batch), float(self.loss(model, batch))
