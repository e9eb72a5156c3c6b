"""Text in, free text out, for decoder-only models.

Training minimises the mean token loss of the answer and the end token. An answer is generated
token by token, always the most likely one, see :mod:`peftsearch.formats.causal_writer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from peftsearch.errors import ConfigError
from peftsearch.formats.base import Feature
from peftsearch.formats.causal_writer import CausalWriter
from peftsearch.formats.generation import as_answers, target_text
from peftsearch.formats.prompted import Prompted
from peftsearch.formats.target_length import require_length
from peftsearch.tasks.base import Task
from peftsearch.tasks.rows import Row


class CausalGeneration(Prompted):
    """The form of a task whose answers are free texts; arguments as of the base class.

    Raises:
        ConfigError: The task names a tokenizer of its targets, which is for encoder-decoders.
    """

    generates = True

    def __init__(self, task: Task, tokenizer: Any, config: Any) -> None:
        super().__init__(task, tokenizer, config)
        if task.target_tokenizer is not None:
            raise ConfigError(
                f'the task "{task.name}" has a target_tokenizer, and a decoder reads and writes '
                "with one tokenizer.",
                "Remove target_tokenizer, or take an encoder-decoder.",
            )
        self.max_target_length = min(task.max_target_length, self._positions // 2)
        self._writer = CausalWriter(tokenizer, self.end, self.pad, self.max_target_length)

    def features(self, rows: Sequence[Row]) -> list[Feature]:
        """Tokenise rows; prompts that are too long lose tokens of their longest text.

        Raises:
            ConfigError: An answer is too long.
        """
        texts = [target_text(self.task, row) for row in rows]
        answers = [self.answer(text) for text in texts]
        require_length(self.task, "answers", texts, answers, self.max_target_length)
        found = self.prompts(rows, self.max_target_length)
        right = map(self.task.reference, rows)
        return [self.joined(*parts) for parts in zip(found, answers, right, strict=True)]

    def predict(self, model: Any, batch: dict[str, Tensor]) -> list[str]:
        """The texts that the model writes, without special tokens and outer blanks."""
        return as_answers(self.task, self._writer.texts(model, batch))

    @torch.no_grad()
    def assess(self, model: Any, batch: dict[str, Tensor]) -> tuple[list[str], float]:
        """Predictions, and the mean token loss of the right texts."""
        return self.predict(model, batch), float(self.loss(model, batch))
