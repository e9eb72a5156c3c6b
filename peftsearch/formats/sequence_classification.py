"""Texts in, one score per label out of a head, for encoders and decoders.

A decoder's head reads the last token that is no padding, wherever the padding stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from peftsearch.formats.base import Feature, input_limit
from peftsearch.formats.choosing import is_decoder
from peftsearch.formats.encoding import encode, fills, pad, pair
from peftsearch.tasks.base import Task
from peftsearch.tasks.rows import Row


class SequenceClassification:
    """The form of a task for ``AutoModelForSequenceClassification``.

    The model must be loaded with ``num_labels`` of this object. Regression has one output and
    the mean squared error.

    Args:
        task: The task.
        tokenizer: Tokenizer of the model.
        config: Configuration of the model.
    """

    def __init__(self, task: Task, tokenizer: Any, config: Any) -> None:
        self.task = task
        self.truncated = 0
        self.max_length = min(task.max_length, input_limit(tokenizer, config))
        self.num_labels = len(task.labels) or 1
        self._regression = task.kind == "regression"
        self._tokenizer = tokenizer
        # Some tokenizers of decoders give types of tokens, which their models do not take.
        self._typed = getattr(config, "type_vocab_size", 0) > 0 or not is_decoder(config)
        self._fill = fills(tokenizer, config)

    def features(self, rows: Sequence[Row]) -> list[Feature]:
        """Tokenise rows in one call; too long ones again, losing tokens of the longest text."""
        texts = [pair(self.task, row) for row in rows]
        inputs, long = encode(self._tokenizer, texts, self.max_length)
        self.truncated += len(long)
        labels = [row[self.task.label_column] for row in rows]
        references = map(self.task.reference, rows)
        return [Feature(*each) for each in zip(inputs, labels, references, strict=True)]

    def terms(self, features: Sequence[Feature]) -> int:
        """The rows."""
        return len(features)

    def collate(self, features: Sequence[Feature]) -> dict[str, Tensor]:
        """Return the tokenizer's tensors (batch, longest) and labels (batch,)."""
        batch = pad([feature.inputs for feature in features], self._fill)
        if not self._typed:
            batch.pop("token_type_ids", None)
        kind = torch.float32 if self._regression else torch.int64
        labels = torch.tensor([feature.target for feature in features], dtype=kind)
        return {**batch, "labels": labels}

    def loss(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Mean cross-entropy, or mean squared error for regression, in float32."""
        return self._loss_of(self._logits(model, batch), batch["labels"])

    def _loss_of(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self._regression:
            return functional.mse_loss(logits.squeeze(1), labels)
        return functional.cross_entropy(logits, labels)

    @torch.no_grad()
    def scores(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Logits, (batch, labels), in float32; one column for regression."""
        return self._logits(model, batch)

    def predict(self, model: Any, batch: dict[str, Tensor]) -> list[float]:
        """Label ids, or numbers for regression."""
        return self._answers(self.scores(model, batch))

    def assess(self, model: Any, batch: dict[str, Tensor]) -> tuple[list[float], float]:
        """Predictions and mean loss, from one pass."""
        found = self.scores(model, batch)
        return self._answers(found), float(self._loss_of(found, batch["labels"]))

    def _answers(self, scores: Tensor) -> list[float]:
        best = scores.squeeze(1) if self._regression else scores.argmax(1)
        return [float(value) for value in best.tolist()]

    def _logits(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        logits: Tensor = model(**inputs).logits.float()
        return logits
