"""Text in, one of the row's own choices out, for encoder-decoder models.

Training minimises the mean token loss of the first right choice. Scoring encodes the prompt once
and compares the log-likelihoods of the choices, end token included, so that a prediction is always
one of them; long choices are not favoured, as nothing is divided by their length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers.modeling_outputs import BaseModelOutput

from peftsearch.formats.base import padded
from peftsearch.formats.encoder_decoder import IGNORED, EncoderDecoder
from peftsearch.formats.options import OptionsFeature, likeliest, right_option
from peftsearch.tasks.base import Task
from peftsearch.tasks.rows import Row

_AT_ONCE = 64
"""Choices that are scored in one pass of the decoder."""


class ChoiceLikelihood(EncoderDecoder):
    """The text-to-text form of a choice.

    Args:
        task: The task.
        tokenizer: Tokenizer of the model.
        config: Configuration of the model.

    Raises:
        ConfigError: The task has no template.
    """

    def __init__(self, task: Task, tokenizer: Any, config: Any) -> None:
        super().__init__(task, tokenizer, config)
        self._options: list[list[str]] = []

    def features(self, rows: Sequence[Row]) -> list[OptionsFeature]:
        """Tokenise rows and their choices."""
        found = []
        for row, ids in zip(rows, self.prompts(rows), strict=True):
            texts = self.task.options(row)
            tokens = tuple(self.ended(each) for each in self._tokenizer(texts)["input_ids"])
            self._options.append(texts)
            found.append(
                OptionsFeature(
                    {"input_ids": ids},
                    tokens[right_option(self.task, row, texts)],
                    self.task.reference(row),
                    tokens,
                    len(self._options) - 1,
                )
            )
        return found

    def collate(self, features: Sequence[Any]) -> dict[str, Tensor]:
        """Return prompts and labels (rows, longest), and the choices of all rows.

        ``options`` (choices, longest), padded with -100, ``option_rows`` (choices,) the row of
        each, ``row_numbers`` (rows,) finds the texts again.
        """
        return {
            **super().collate(features),
            "options": padded([ids for f in features for ids in f.options], IGNORED),
            "option_rows": torch.tensor([i for i, f in enumerate(features) for _ in f.options]),
            "row_numbers": torch.tensor([feature.number for feature in features]),
        }

    @torch.no_grad()
    def scores(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Log-likelihood of every choice of every row, end token included: (choices,), float32."""
        mask, rows = batch["attention_mask"], batch["option_rows"]
        encoder = model.get_encoder()
        states = encoder(input_ids=batch["input_ids"], attention_mask=mask).last_hidden_state
        found = []
        parts = (torch.split(each, _AT_ONCE) for each in (batch["options"], rows))
        for labels, of in zip(*parts, strict=True):
            logits = model(
                encoder_outputs=BaseModelOutput(last_hidden_state=states[of]),
                attention_mask=mask[of],
                decoder_input_ids=self.shifted(labels),
                use_cache=False,
            ).logits
            losses = functional.cross_entropy(
                logits.float().transpose(1, 2), labels, ignore_index=IGNORED, reduction="none"
            )
            found.append(-losses.sum(1))
        return torch.cat(found)

    def predict(self, model: Any, batch: dict[str, Tensor]) -> list[Any]:
        """The number of the likeliest choice; its text where the right ones are given as texts."""
        return likeliest(self.task, self.scores(model, batch), batch, self._options)

    @torch.no_grad()
    def assess(self, model: Any, batch: dict[str, Tensor]) -> tuple[list[Any], float]:
        """Predictions, and the mean token loss of the right choices."""
        return self.predict(model, batch), float(self.loss(model, batch))
