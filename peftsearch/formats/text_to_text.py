"""Text in, label word out, for encoder-decoder models (T5 and its family).

Training minimises the mean token loss of the label word and the end token. Scoring encodes the
input once and compares the log-likelihood of every label word, end token included, so a
prediction is always a label, and untrained models are scored fairly.

Regression does as T5: the answer is one of the numbers 0.0, 0.2, … 5.0, written as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers.modeling_outputs import BaseModelOutput

from peftsearch.formats.base import Feature, padded
from peftsearch.formats.encoder_decoder import IGNORED, EncoderDecoder
from peftsearch.formats.label_words import nearest_number, tokenised, words_of
from peftsearch.tasks.base import Task
from peftsearch.tasks.rows import Row

MOST_LOGITS = 2**25
"""Logits computed at once while scoring: 128 MiB in float32."""


class TextToText(EncoderDecoder):
    """The text-to-text form of a task.

    Args:
        task: The task.
        tokenizer: Tokenizer of the model.
        config: Configuration of the model.

    Raises:
        ConfigError: The task has no template, or two label words have the same tokens.
    """

    def __init__(self, task: Task, tokenizer: Any, config: Any) -> None:
        super().__init__(task, tokenizer, config)
        self.words = words_of(task)
        self._numbers = [float(w) for w in self.words] if task.kind == "regression" else []
        self._targets = tokenised(
            task, self.words, lambda word: self.ended(tokenizer(word)["input_ids"])
        )
        self._table = padded(self._targets, IGNORED)

    def features(self, rows: Sequence[Row]) -> list[Feature]:
        """Tokenise rows in one call.

        Raises:
            ConfigError: A number lies outside those that can be answered.
        """
        found: list[Feature] = []
        for row, ids in zip(rows, self.prompts(rows), strict=True):
            label = row[self.task.label_column]
            target = self._targets[self._word_of(label)]
            found.append(Feature({"input_ids": ids}, target, self.task.reference(row)))
        return found

    def _word_of(self, label: float) -> int:
        return nearest_number(self.task, self._numbers, label) if self._numbers else int(label)

    @torch.no_grad()
    def scores(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Log-likelihood of every label word, end token included: (batch, words), float32."""
        mask = batch["attention_mask"]
        encoder = model.get_encoder()
        states = encoder(input_ids=batch["input_ids"], attention_mask=mask).last_hidden_state
        table = self._table.to(mask.device)
        each = table.numel() * int(model.config.vocab_size)
        rows = max(1, MOST_LOGITS // each)
        return torch.cat(
            [
                self._score_rows(model, states[i : i + rows], mask[i : i + rows], table)
                for i in range(0, len(states), rows)
            ]
        )

    def _score_rows(self, model: Any, states: Tensor, mask: Tensor, table: Tensor) -> Tensor:
        """Score every word for encoded rows.

        Args:
            model: The model.
            states: Encoder output, (rows, length, width).
            mask: Attention mask, (rows, length).
            table: Label words, (words, tokens), padded with -100.
        """
        rows, words = len(states), len(table)
        labels = table.repeat(rows, 1)
        logits = model(
            encoder_outputs=BaseModelOutput(last_hidden_state=states.repeat_interleave(words, 0)),
            attention_mask=mask.repeat_interleave(words, 0),
            decoder_input_ids=self.shifted(labels),
            use_cache=False,
        ).logits
        losses = functional.cross_entropy(
            logits.float().transpose(1, 2), labels, ignore_index=IGNORED, reduction="none"
        )
        return -losses.sum(1).view(rows, words)

    def predict(self, model: Any, batch: dict[str, Tensor]) -> list[float]:
        """The most likely label ids, or numbers for regression."""
        return self._answers(self.scores(model, batch))

    def assess(self, model: Any, batch: dict[str, Tensor]) -> tuple[list[float], float]:
        """Predictions, and the mean token loss of the right words."""
        found, labels = self.scores(model, batch), batch["labels"]
        table = self._table.to(labels.device)
        whole = functional.pad(labels, (0, table.shape[1] - labels.shape[1]), value=IGNORED)
        right = (whole.unsqueeze(1) == table).all(-1).int().argmax(1, keepdim=True)  # (B, 1)
        loss = -found.gather(1, right).sum() / (labels != IGNORED).sum()
        return self._answers(found), float(loss)

    def _answers(self, scores: Tensor) -> list[float]:
        best: list[int] = scores.argmax(1).tolist()
        return [self._numbers[i] if self._numbers else float(i) for i in best]
