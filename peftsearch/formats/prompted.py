"""A prompt and what follows it, for decoder-only models: how both become one sequence.

The prompt is the template filled in. Where a template ends in a column, a line "answer:" is put
behind it, so that the model can tell the text from its answer; a template that ends in words of
its own stays as it is. The answer stands behind a blank and ends in the end token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peftsearch.errors import ConfigError
from peftsearch.formats.base import Feature, position_limit
from peftsearch.formats.causal import IGNORED, Causal
from peftsearch.formats.truncation import shorten
from peftsearch.tasks.base import Task
from peftsearch.tasks.metrics import Answer
from peftsearch.tasks.rows import Row

CUE = "\nanswer:"


class Prompted(Causal):
    """Prompts with an answer behind each.

    Args:
        task: The task.
        tokenizer: Tokenizer of the model.
        config: Configuration of the model.

    Raises:
        ConfigError: The task has no template, or the tokenizer no end token.
    """

    def __init__(self, task: Task, tokenizer: Any, config: Any) -> None:
        super().__init__(task, tokenizer, config)
        if not task.template:
            raise ConfigError(
                f'the task "{task.name}" has no template, which {config.model_type} needs.',
                "Add template: to the task file.",
            )
        if tokenizer.eos_token_id is None:
            raise ConfigError(
                "the tokenizer of this model has no end token, so an answer would have no end.",
                'Set eos_token in its tokenizer_config.json, e.g. "</s>".',
            )
        self.end = int(tokenizer.eos_token_id)
        self.template = task.template + (CUE if task.template.endswith("}") else "")
        self._positions = position_limit(config)
        self._blank = _blank(tokenizer)

    def prompts(self, rows: Sequence[Row], room: int) -> list[list[int]]:
        """Tokenise the prompts of rows in one call; too long ones again, one by one.

        Args:
            rows: The rows.
            room: Tokens of the longest answer, which the model must have positions for.
        """
        fields = [self.task.fields(row) for row in rows]
        if not fields:
            return []
        limit = min(self.max_length, self._positions - room)
        texts = [self.template.format(**field) for field in fields]
        found: list[list[int]] = []
        for field, ids in zip(
            fields, self._tokenizer(texts, verbose=False)["input_ids"], strict=True
        ):
            tokens = list(ids)
            if len(tokens) > limit:
                self.truncated += 1
                tokens = shorten(field, self.template, self._tokenizer, limit)
            # Some tokenizers close what they are given; the answer comes first.
            found.append(tokens[:-1] if tokens[-1] == self.end else tokens)
        return found

    def answer(self, text: str) -> list[int]:
        """Tokenise what follows a prompt, end token included."""
        ids = self._tokenizer(self._blank + text, add_special_tokens=False, verbose=False)
        return [*ids["input_ids"], self.end]

    def joined(self, prompt: list[int], answer: list[int], reference: Answer) -> Feature:
        """Return one sequence with labels at the answer."""
        labels = [IGNORED] * len(prompt) + answer
        return Feature({"input_ids": [*prompt, *answer]}, labels, reference)


def _blank(tokenizer: Any) -> str:
    """Return what to put before a text so that it begins a new word; some tokenizers do alone."""

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    return "" if ids("a") + ids("a") == ids("a a") else " "
