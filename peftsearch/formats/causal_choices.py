"""Text in, one of the row's own choices out, for decoder-only models.

Training minimises the mean token loss of the first right choice and the end token. Scoring compares
the log-likelihoods of the choices behind the prompt, end token included, so that a prediction is
always one of them; as with label words, nothing is divided by the length of a choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from peftsearch.errors import ConfigError
from peftsearch.formats.base import padded
from peftsearch.formats.causal import IGNORED
from peftsearch.formats.options import OptionsFeature, likeliest, right_option
from peftsearch.formats.prompted import Prompted
from peftsearch.tasks.base import Task
from peftsearch.tasks.rows import Row


class CausalChoices(Prompted):
    """The form of a choice whose choices are listed in the row; arguments as of the base class."""

    def __init__(self, task: Task, tokenizer: Any, config: Any) -> None:
        super().__init__(task, tokenizer, config)
        self._options: list[list[str]] = []

    def features(self, rows: Sequence[Row]) -> list[OptionsFeature]:
        """Tokenise rows and their choices; prompts lose tokens of their longest text.

        Raises:
            ConfigError: A choice takes more than half of the model's positions.
        """
        texts = [self.task.options(row) for row in rows]
        tokens = [tuple(map(self.answer, each)) for each in texts]
        longest = max((len(ids) for each in tokens for ids in each), default=0)
        if longest > self._positions // 2:
            raise ConfigError(
                f'the longest choice of task "{self.task.name}" has {longest} tokens, and the '
                f"model has {self._positions} positions for prompt and choice.",
                "Leave rows with such choices out, or give a model that reads longer texts.",
            )
        prompts = self.prompts(rows, longest)
        return [self._feature(*each) for each in zip(rows, prompts, texts, tokens, strict=True)]

    def _feature(
        self, row: Row, prompt: list[int], texts: list[str], tokens: tuple[list[int], ...]
    ) -> OptionsFeature:
        self._options.append(texts)
        right = tokens[right_option(self.task, row, texts)]
        whole = self.joined(prompt, right, self.task.reference(row))
        number = len(self._options) - 1
        return OptionsFeature(whole.inputs, whole.target, whole.reference, tokens, number)

    def collate(self, features: Sequence[Any]) -> dict[str, Tensor]:
        """Return prompts with right choices and their labels, and every choice of all rows.

        ``option_ids`` and ``option_labels`` (choices, longest) are each prompt with each of its
        choices and the labels beside it, ``option_lengths`` (choices,) their tokens,
        ``option_rows`` (choices,) the row of each, ``row_numbers`` (rows,) finds the texts again.
        """
        of = [(i, f, option) for i, f in enumerate(features) for option in f.options]
        prompts = [f.inputs["input_ids"][: f.target.count(IGNORED)] for f in features]
        whole = [[*prompts[i], *option] for i, _, option in of]
        labels = [[*[IGNORED] * len(prompts[i]), *option] for i, _, option in of]
        return {
            **super().collate(features),
            "option_ids": padded(whole, self.pad),
            "option_labels": padded(labels, IGNORED),
            "option_lengths": torch.tensor([len(ids) for ids in whole]),
            "option_rows": torch.tensor([i for i, _, _ in of]),
            "row_numbers": torch.tensor([feature.number for feature in features]),
        }

    def scores(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Log-likelihood of every choice of every row, end token included: (choices,), float32."""
        ids, lengths = batch["option_ids"], batch["option_lengths"]
        places = torch.arange(ids.shape[1], device=ids.device)
        there = (places < lengths.unsqueeze(1)).long()
        whole = {
            "input_ids": ids,
            "attention_mask": there,
            "labels": batch["option_labels"],
        }
        return self.likelihoods(model, whole)

    def predict(self, model: Any, batch: dict[str, Tensor]) -> list[Any]:
        """The number of the likeliest choice; its text where the right ones are given as texts."""
        return likeliest(self.task, self.scores(model, batch), batch, self._options)

    @torch.no_grad()
    def assess(self, model: Any, batch: dict[str, Tensor]) -> tuple[list[Any], float]:
        """Predictions, and the mean token loss of the right choices."""
        return self.predict(model, batch), float(self.loss(model, batch))
