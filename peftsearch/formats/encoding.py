"""Tokenising texts for an encoder: alone or in pairs, never longer than it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from peftsearch.errors import ConfigError
from peftsearch.formats.base import padded, padding_id
from peftsearch.tasks.base import Task
from peftsearch.tasks.rows import Row


def pair(task: Task, row: Row) -> tuple[str, ...]:
    """Return one or two texts: of more columns all but the last are joined."""
    *first, last = (row[column] for column in task.columns)
    return (" ".join(first), last) if first else (last,)


def encode(
    tokenizer: Any, texts: Sequence[tuple[str, ...]], max_length: int
) -> tuple[list[dict[str, list[int]]], list[int]]:
    """Tokenise in one call; too long ones again, losing tokens of the longest text.

    Args:
        tokenizer: Tokenizer of the model.
        texts: One or two texts each, of all as many.
        max_length: Most tokens, special tokens included.

    Returns:
        Token lists by the name of the model's argument, and the numbers of those that were cut.
    """
    if not texts:
        return [], []
    columns = [list(column) for column in zip(*texts, strict=True)]
    encoded = tokenizer(*columns, verbose=False)
    long = [i for i, ids in enumerate(encoded["input_ids"]) if len(ids) > max_length]
    inputs = [{name: encoded[name][i] for name in encoded} for i in range(len(texts))]
    if long:
        cut = tokenizer(
            *[[column[i] for i in long] for column in columns],
            truncation="longest_first",
            max_length=max_length,
        )
        for place, i in enumerate(long):
            inputs[i] = {name: cut[name][place] for name in cut}
    return inputs, long


def fills(tokenizer: Any, config: Any) -> dict[str, int]:
    """Return what each of the model's arguments is padded with, where it is not zero."""
    return {
        "input_ids": padding_id(tokenizer, config),
        "token_type_ids": int(tokenizer.pad_token_type_id),
    }


def pad(inputs: Sequence[dict[str, list[int]]], fill: dict[str, int]) -> dict[str, Tensor]:
    """Pad to the longest: (inputs, longest) by the name of the model's argument.

    By hand: the tokenizer's own ``pad`` logs an advice that does not apply here.
    """
    return {name: padded([each[name] for each in inputs], fill.get(name, 0)) for name in inputs[0]}


def require_offsets(task: Task, tokenizer: Any) -> None:
    """Refuse a tokenizer that does not say from which characters a token comes.

    Raises:
        ConfigError: It is not one of the library ``tokenizers``.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ConfigError(
            f'the task "{task.name}" is {task.kind}, which needs to know where each token stands; '
            f"{type(tokenizer).__name__} does not say.",
            "Give a model whose tokenizer is a tokenizer.json.",
        )
