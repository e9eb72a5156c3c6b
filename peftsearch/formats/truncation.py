"""Cutting a prompt that is too long without losing its wording.

A tokenizer can only cut the end of a prompt, where the second text stands; the texts have to be
cut before they are put into the template. Few rows need it, so it may take its time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def shorten(fields: Mapping[str, str], template: str, tokenizer: Any, max_length: int) -> list[int]:
    """Cut the longest text again and again until the whole prompt fits.

    Args:
        fields: Text of every column.
        template: Prompt with ``{column}`` for every column.
        tokenizer: Tokenizer of the model.
        max_length: Most tokens of the whole prompt, special tokens included.

    Returns:
        At most ``max_length`` token ids, the end token included.
    """
    texts = dict(fields)
    while True:
        prompt = template.format(**texts)
        ids: list[int] = tokenizer(prompt, verbose=False)["input_ids"]
        excess = len(ids) - max_length
        if excess <= 0:
            return ids
        column = max(texts, key=lambda name: len(texts[name]))
        if not texts[column]:
            break
        # An average token of this prompt, times the excess; at least one character. The longest
        # text gives half at most, so that two long texts end alike.
        characters = max(1, excess * len(prompt) // len(ids))
        keep = max(len(texts[column]) - characters, len(texts[column]) // 2)
        texts[column] = texts[column][:keep].rstrip()
    # The wording alone is too long: the tokenizer cuts what it must.
    cut: list[int] = tokenizer(
        template.format(**fields), truncation=True, max_length=max_length, verbose=False
    )["input_ids"]
    return cut
