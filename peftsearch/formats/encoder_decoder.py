"""What all formats of encoder-decoder models share: prompts, padding and the token loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional

from peftsearch.errors import ConfigError
from peftsearch.formats.base import Feature, input_limit, padded
from peftsearch.formats.truncation import shorten
from peftsearch.tasks.base import Task
from peftsearch.tasks.rows import Row

IGNORED = -100


class EncoderDecoder:
    """Prompts in, target tokens out.

    Args:
        task: The task.
        tokenizer: Tokenizer of the model.
        config: Configuration of the model.

    Raises:
        ConfigError: The task has no template.
    """

    num_labels = 0

    def __init__(self, task: Task, tokenizer: Any, config: Any) -> None:
        if not task.template:
            raise ConfigError(
                f'the task "{task.name}" has no template, which {config.model_type} needs.',
                "Add template: to the task file.",
            )
        self.task = task
        self.truncated = 0
        self.max_length = min(task.max_length, input_limit(tokenizer, config))
        self._tokenizer = tokenizer
        self._pad = int(config.pad_token_id)
        start = getattr(config, "decoder_start_token_id", None)
        self._start = self._pad if start is None else int(start)
        end = tokenizer.eos_token_id
        self._end = int(config.eos_token_id if end is None else end)

    def prompts(self, rows: Sequence[Row]) -> list[list[int]]:
        """Tokenise the prompts of rows in one call; too long ones again, one by one."""
        fields = [self.task.fields(row) for row in rows]
        prompts = [self.task.template.format(**field) for field in fields]
        if not prompts:
            return []
        found: list[list[int]] = []
        for field, ids in zip(
            fields, self._tokenizer(prompts, verbose=False)["input_ids"], strict=True
        ):
            if len(ids) > self.max_length:
                self.truncated += 1
                ids = shorten(field, self.task.template, self._tokenizer, self.max_length)
            found.append(list(ids))
        return found

    def ended(self, ids: Sequence[int]) -> list[int]:
        """Return target ids up to the end token; behind it mBART writes the language."""
        found = [*ids, self._end]
        return found[: found.index(self._end) + 1]

    def terms(self, features: Sequence[Feature]) -> int:
        """The tokens of the targets."""
        return sum(len(each.target) for each in features if isinstance(each.target, list))

    def collate(self, features: Sequence[Feature]) -> dict[str, Tensor]:
        """Return input_ids, attention_mask and labels, each (batch, longest), int64."""
        inputs = [feature.inputs["input_ids"] for feature in features]
        targets = [f.target if isinstance(f.target, list) else [] for f in features]
        return {
            "input_ids": padded(inputs, self._pad),
            "attention_mask": padded([[1] * len(ids) for ids in inputs], 0),
            "labels": padded(targets, IGNORED),
        }

    def loss(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Mean cross-entropy over the tokens of the targets, in float32."""
        labels = batch["labels"]
        logits = model(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            decoder_input_ids=self.shifted(labels),
            use_cache=False,
        ).logits
        flat = logits.float().flatten(0, 1)
        return functional.cross_entropy(flat, labels.flatten(), ignore_index=IGNORED)

    def shifted(self, labels: Tensor) -> Tensor:
        """Decoder inputs for labels: the start token, then all labels but the last."""
        shifted = labels.new_full(labels.shape, self._start)
        shifted[:, 1:] = labels[:, :-1].masked_fill(labels[:, :-1] == IGNORED, self._pad)
        return shifted
