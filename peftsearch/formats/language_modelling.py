"""Texts as they stand, for decoder-only models: every token is predicted from those before it.

Each text is a sequence of its own and begins with the model's first token (or its end token, as in
GPT-2). Nothing is packed, so no text sees another one. A text that is too long is cut into
windows; a window begins with the last token of the one before, so that every token of the text is
predicted exactly once, though the first ones of a window from little context. The end of a text
is not predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from peftsearch.errors import ConfigError
from peftsearch.formats.base import Feature
from peftsearch.formats.causal import IGNORED, Causal, counted
from peftsearch.tasks.rows import Row


class LanguageModelling(Causal):
    """The form of a task whose rows are texts alone; arguments as of the base class."""

    def features(self, rows: Sequence[Row]) -> list[Feature]:
        """Tokenise rows into one feature for each window.

        The reference of a window is the number of tokens it predicts.

        Raises:
            ConfigError: A text has no token.
        """
        if not rows:
            return []
        texts = [row[self.task.columns[0]] for row in rows]
        encoded = self._tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        return [
            feature
            for text, ids in zip(texts, encoded, strict=True)
            for feature in self._windows(text, list(ids))
        ]

    def _windows(self, text: str, ids: list[int]) -> list[Feature]:
        if not ids:
            raise ConfigError(f"the text {text!r:.40} has no token.", "Leave this row out.")
        tokenizer = self._tokenizer
        first = next(
            (i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id) if i is not None), None
        )
        whole = ids if first is None else [int(first), *ids]
        step = self.max_length - 1
        starts = range(0, max(1, len(whole) - 1), step)
        return [_window(whole[start : start + self.max_length]) for start in starts]

    def predict(self, model: Any, batch: dict[str, Tensor]) -> list[float]:
        """Mean log-likelihood of a token, in nats, by row."""
        return self._means(self.likelihoods(model, batch), batch)

    @torch.no_grad()
    def assess(self, model: Any, batch: dict[str, Tensor]) -> tuple[list[float], float]:
        """Predictions, and the mean loss of a token of the batch."""
        found = self.likelihoods(model, batch)
        tokens = counted(batch["labels"]).sum().clamp(min=1)
        return self._means(found, batch), float(-found.sum() / tokens)

    def _means(self, likelihoods: Tensor, batch: dict[str, Tensor]) -> list[float]:
        means = likelihoods / counted(batch["labels"]).clamp(min=1)
        return [float(value) for value in means.tolist()]


def _window(ids: list[int]) -> Feature:
    return Feature({"input_ids": ids}, [IGNORED, *ids[1:]], float(len(ids) - 1))
