"""Text in, label word out, written freely, for encoder-decoder models.

Trained as :class:`~peftsearch.formats.text_to_text.TextToText`; but a prediction is what the model
writes. What is no label word is the label id -1, which is wrong everywhere; of a regression it is
the number -1, as in T5.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from peftsearch.formats.generation import Generation
from peftsearch.formats.text_to_text import TextToText
from peftsearch.tasks.base import Task

_NO_LABEL = -1.0


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
        # As the tokenizer writes them: one may add blanks or lower the case.
        texts = tokenizer.batch_decode(self._targets, skip_special_tokens=True)
        values = self._numbers or range(len(self.words))
        self._values = {t.strip(): float(v) for t, v in zip(texts, values, strict=True)}

    @torch.no_grad()
    def predict(self, model: Any, batch: dict[str, Tensor]) -> list[float]:
        """The label ids, or numbers for regression, of what the model writes."""
        return [self._value(text) for text in self._generation.predict(model, batch)]

    def _value(self, text: str) -> float:
        if text in self._values or not self._numbers:
            return self._values.get(text, _NO_LABEL)
        try:
            return float(text)
        except ValueError:
            return _NO_LABEL

    @torch.no_grad()
    def assess(self, model: Any, batch: dict[str, Tensor]) -> tuple[list[float], float]:
        """Predictions, and the mean token loss of the right words."""
        return self.predict(model, batch), float(self.loss(model, batch))
