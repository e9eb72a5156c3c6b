"""Text in, label word out, for decoder-only models.

Training minimises the mean token loss of the label word and the end token. Scoring compares the
log-likelihood of every label word behind the prompt, end token included, so a prediction is always
a label. It is the sum over the word's tokens, as in the encoder-decoder's form, and is not divided
by their number: with the end token the sums are those of whole answers, which exclude each other,
while means would favour long words whose later tokens follow from the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from peftsearch.formats.base import Feature, padded
from peftsearch.formats.causal import IGNORED, counted
from peftsearch.formats.label_words import nearest_number, tokenised, words_of
from peftsearch.formats.prompted import Prompted
from peftsearch.tasks.base import Task
from peftsearch.tasks.rows import Row


class CausalLabels(Prompted):
    """The form of a classification or regression whose answers are words or numbers.

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
        self._targets = tokenised(task, self.words, self.answer)
        self._room = max(map(len, self._targets))

    def features(self, rows: Sequence[Row]) -> list[Feature]:
        """Tokenise rows in one call.

        Raises:
            ConfigError: A number lies outside those that can be answered.
        """
        found = []
        for row, prompt in zip(rows, self.prompts(rows, self._room), strict=True):
            label = row[self.task.label_column]
            word = self._targets[self._word_of(label)]
            found.append(self.joined(prompt, word, self.task.reference(row)))
        return found

    def _word_of(self, label: float) -> int:
        return nearest_number(self.task, self._numbers, label) if self._numbers else int(label)

    @torch.no_grad()
    def scores(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Log-likelihood of every label word, end token included: (batch, words), float32."""
        found = self.likelihoods(model, self._with_every_word(batch))
        return found.view(-1, len(self._targets))

    def _with_every_word(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return each prompt with each word behind it: (batch * words, longest)."""
        begins = (batch["labels"] != IGNORED).int().argmax(1).tolist()
        ids, device = batch["input_ids"].tolist(), batch["input_ids"].device
        prompts = [row[:begin] for row, begin in zip(ids, begins, strict=True)]
        whole = [[*prompt, *word] for prompt in prompts for word in self._targets]
        wanted = [[*[IGNORED] * len(prompt), *word] for prompt in prompts for word in self._targets]
        found = {
            "input_ids": padded(whole, self.pad),
            "attention_mask": padded([[1] * len(each) for each in whole], 0),
            "labels": padded(wanted, IGNORED),
        }
        return {name: tensor.to(device) for name, tensor in found.items()}

    def predict(self, model: Any, batch: dict[str, Tensor]) -> list[float]:
        """The most likely label ids, or numbers for regression."""
        return self._answers(self.scores(model, batch))

    @torch.no_grad()
    def assess(self, model: Any, batch: dict[str, Tensor]) -> tuple[list[float], float]:
        """Predictions, and the mean token loss of the right words."""
        found, labels = self.scores(model, batch), batch["labels"]
        right = torch.tensor([self._word_in(row) for row in labels.tolist()], device=labels.device)
        loss = -found.gather(1, right.unsqueeze(1)).sum() / counted(labels).sum()
        return self._answers(found), float(loss)

    def _word_in(self, labels: list[int]) -> int:
        return self._targets.index([label for label in labels if label != IGNORED])

    def _answers(self, scores: Tensor) -> list[float]:
        best: list[int] = scores.argmax(1).tolist()
        return [self._numbers[i] if self._numbers else float(i) for i in best]
