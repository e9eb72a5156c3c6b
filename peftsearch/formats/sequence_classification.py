"""One or two texts in, one score per label out of a head, for encoders and decoders.

A decoder's head reads the last token that is no padding, wherever the padding stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from peftsearch.formats.base import Feature, input_limit, padded, padding_id
from peftsearch.formats.choosing import is_decoder
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
        self._fill = {
            "input_ids": padding_id(tokenizer, config),
            "token_type_ids": int(tokenizer.pad_token_type_id),
        }

    def features(self, rows: Sequence[Row]) -> list[Feature]:
        """Tokenise rows in one call; too long ones again, losing tokens of the longest text."""
        if not rows:
            return []
        texts = [[row[column] for row in rows] for column in self.task.columns]
        encoded = self._tokenizer(*texts, verbose=False)
        long = [i for i, ids in enumerate(encoded["input_ids"]) if len(ids) > self.max_length]
        self.truncated += len(long)
        inputs = [{name: encoded[name][i] for name in encoded} for i in range(len(rows))]
        if long:
            cut = self._tokenizer(
                *[[column[i] for i in long] for column in texts],
                truncation="longest_first",
                max_length=self.max_length,
            )
            for place, i in enumerate(long):
                inputs[i] = {name: cut[name][place] for name in cut}
        labels = [row[self.task.label_column] for row in rows]
        return [Feature(i, y, float(y)) for i, y in zip(inputs, labels, strict=True)]

    def collate(self, features: Sequence[Feature]) -> dict[str, Tensor]:
        """Return the tokenizer's tensors (batch, longest) and labels (batch,)."""
        # By hand: the tokenizer's own pad() logs an advice that does not apply here.
        batch = {
            name: padded([feature.inputs[name] for feature in features], self._fill.get(name, 0))
            for name in features[0].inputs
            if self._typed or name != "token_type_ids"
        }
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
