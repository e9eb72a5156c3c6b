"""What all formats of decoder-only models share: one sequence, the loss on a part of it.

A row is a list of tokens and a list of labels beside it, -100 where nothing is to be learned. The
label of a token stands at the token itself; the model predicts it one place earlier. Batches are
padded on the right, where padding changes nothing that comes before it; a prompt that is to be
continued is padded on the left, with the positions counted from its first token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from peftsearch.formats.base import Feature, input_limit, padded, padding_id
from peftsearch.tasks.base import Task

IGNORED = -100
#: Logits computed at once where no gradients are needed: 128 MiB in float32.
MOST_LOGITS = 2**25


class Causal:
    """Sequences with labels at some of their tokens.

    Args:
        task: The task.
        tokenizer: Tokenizer of the model.
        config: Configuration of the model.
    """

    num_labels = 0

    def __init__(self, task: Task, tokenizer: Any, config: Any) -> None:
        self.task = task
        self.truncated = 0
        self.max_length = min(task.max_length, input_limit(tokenizer, config))
        self.pad = padding_id(tokenizer, config)
        self._tokenizer = tokenizer
        self._vocabulary = int(config.vocab_size)

    def terms(self, features: Sequence[Feature]) -> int:
        """The labels that are predicted: a first token never is."""
        rows = (each.target for each in features if isinstance(each.target, list))
        return sum(label != IGNORED for row in rows for label in row[1:])

    def collate(self, features: Sequence[Feature]) -> dict[str, Tensor]:
        """Return input_ids, attention_mask and labels, each (batch, longest), int64."""
        inputs = [feature.inputs["input_ids"] for feature in features]
        labels = [f.target if isinstance(f.target, list) else [] for f in features]
        return {
            "input_ids": padded(inputs, self.pad),
            "attention_mask": padded([[1] * len(ids) for ids in inputs], 0),
            "labels": padded(labels, IGNORED),
        }

    def loss(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Mean cross-entropy over the labels, in float32."""
        found = token_losses(model, batch["input_ids"], batch["attention_mask"], batch["labels"])
        return found.sum() / counted(batch["labels"]).sum().clamp(min=1)

    @torch.no_grad()
    def likelihoods(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Log-likelihood of the labels of each row, a few rows at a time: (batch,), float32."""
        ids, mask, labels = (batch[name] for name in ("input_ids", "attention_mask", "labels"))
        rows = max(1, MOST_LOGITS // (ids.shape[1] * self._vocabulary))
        parts = zip(*(torch.split(each, rows) for each in (ids, mask, labels)), strict=True)
        return torch.cat([-token_losses(model, *part).sum(1) for part in parts])


def token_losses(model: Any, ids: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of each label given what stands before it.

    Args:
        model: A causal language model.
        ids: Tokens (B, T), padded on the right.
        mask: Which of them are there (B, T).
        labels: The tokens to predict at their own places (B, T), -100 elsewhere.

    Returns:
        (B, T - 1) in float32, zero where there is no label.
    """
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
    wanted = labels[:, 1:]
    return functional.cross_entropy(
        logits.float().transpose(1, 2), wanted, ignore_index=IGNORED, reduction="none"
    )


def counted(labels: Tensor) -> Tensor:
    """Return how many labels of each row are predicted, (B,): a first token never is."""
    return (labels[:, 1:] != IGNORED).sum(1)


def prompts(batch: dict[str, Tensor], pad: int) -> tuple[Tensor, Tensor]:
    """Return what stands before the first label of each row, padded on the left.

    Args:
        batch: input_ids and labels, (B, T).
        pad: The id to pad with.

    Returns:
        Tokens and mask, each (B, longest prompt).
    """
    ids, labels = batch["input_ids"], batch["labels"]
    lengths = (labels != IGNORED).int().argmax(1)
    longest = int(lengths.max())
    places = torch.arange(longest, device=ids.device) - (longest - lengths).unsqueeze(1)
    there = places >= 0
    taken = ids.gather(1, places.clamp(min=0))
    return taken.masked_fill(~there, pad), there.long()
