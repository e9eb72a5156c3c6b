"""What every format offers: how rows of a task become batches, a loss and predictions.

Place in the flow: between a task and a model; used by every loop that trains or scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from peftsearch.tasks.metrics import Answer
from peftsearch.tasks.rows import Row


@dataclass(frozen=True)
class Feature:
    """One tokenised row.

    Attributes:
        inputs: By the name of the model's argument: token lists without padding, and images or
            sounds, decoded or as :class:`~peftsearch.tasks.media.Media`.
        target: Token ids of the answer (encoder-decoders), a label id, or a number (regression).
        reference: What is right, in the form of :meth:`Format.predict`.
    """

    inputs: dict[str, Any]
    target: list[int] | int | float
    reference: Answer

    @property
    def length(self) -> int:
        """Tokens of the input; 0 where there are none, and all rows are as long."""
        return len(self.inputs.get("input_ids", ()))


def mean_number(features: Sequence[Feature]) -> float:
    """Return the mean answer of a regression; 0 for rows of any other kind."""
    numbers = [f.target for f in features if isinstance(f.target, float)]
    return sum(numbers) / len(numbers) if numbers else 0.0


class Format(Protocol):
    """How a task meets a model.

    Attributes:
        truncated: Rows cut to the longest input so far, counted over all calls of
            :meth:`features`.
        max_length: Longest input in tokens: the task's, or the model's if that is less.
        num_labels: Outputs of the head a model needs; 0 where it needs none.
    """

    truncated: int
    max_length: int
    num_labels: int

    def features(self, rows: Sequence[Row]) -> Sequence[Feature]:
        """Tokenise rows; to be done once."""
        ...

    def collate(self, features: Sequence[Feature]) -> dict[str, Tensor]:
        """Pad to the longest of the batch; the keys are arguments of the model's forward.

        Other keys are the format's own. Of them ``owners`` (rows that the model sees,) has the
        number of the example that each belongs to, where an example is several of them.
        """
        ...

    def loss(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Mean loss of a batch: a scalar in float32, with gradients."""
        ...

    def terms(self, features: Sequence[Any]) -> int:
        """Over how many terms the loss of a batch of these is a mean."""
        ...

    def predict(self, model: Any, batch: dict[str, Tensor]) -> Sequence[Answer]:
        """Label ids, numbers for regression, texts, or tags, one a row.

        The caller puts the model into evaluation mode.
        """
        ...

    def assess(self, model: Any, batch: dict[str, Tensor]) -> tuple[Sequence[Answer], float]:
        """What :meth:`predict` and :meth:`loss` return, without gradients."""
        ...


def input_limit(tokenizer: Any, config: Any) -> int:
    """Return the longest input in tokens that tokenizer and model take."""
    limits = []
    if not getattr(config, "is_encoder_decoder", False):
        # T5's tokenizer names 512, the length of its pretraining, which is no limit.
        limits.append(int(tokenizer.model_max_length))
    return min([*limits, position_limit(config)])


def padding_id(tokenizer: Any, config: Any) -> int:
    """Return the id to pad with; many decoders have none, and any will do under the mask."""
    known = (tokenizer.pad_token_id, config.pad_token_id, tokenizer.eos_token_id, 0)
    return next(int(token) for token in known if token is not None)


def position_limit(config: Any) -> int:
    """Return the most tokens that a model has positions for."""
    positions = getattr(config, "max_position_embeddings", None)
    if not positions:  # T5 has none: its relative position biases have no limit
        return 10**9
    # RoBERTa counts positions from behind the padding id.
    shifted = any(name in config.model_type for name in ("roberta", "camembert", "data2vec"))
    offset = config.pad_token_id + 1 if shifted else 0
    return int(positions) - offset


def padded(lists: Sequence[Sequence[int]], value: int) -> Tensor:
    """Pad lists at their end to the longest: (lists, longest), int64."""
    longest = max(map(len, lists))
    return torch.tensor([[*ids, *[value] * (longest - len(ids))] for ids in lists])
