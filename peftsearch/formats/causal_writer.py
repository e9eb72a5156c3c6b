"""Letting a decoder-only model write on behind prompts: greedily, with a cache.

Prompts are padded on the left. What a checkpoint says about generation (sampling, penalties) is
left aside.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from peftsearch.formats.causal import prompts
from peftsearch.formats.generation import generating


class CausalWriter:
    """Writes what follows the prompts of a batch.

    Args:
        tokenizer: Tokenizer of the model.
        end: Id of the end token.
        pad: Id to pad with.
        most: Most tokens to write, the end token included.
    """

    def __init__(self, tokenizer: Any, end: int, pad: int, most: int) -> None:
        self._pad = pad
        self._tokenizer = tokenizer
        self._settings = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=most,
            do_sample=False,
            num_beams=1,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=end,
            pad_token_id=pad,
        )

    @torch.no_grad()
    def texts(self, model: Any, batch: dict[str, Tensor]) -> list[str]:
        """Return what is written for each row, without special tokens.

        Args:
            model: A causal language model, in evaluation mode.
            batch: input_ids and labels, (B, T); a prompt ends where the labels begin.
        """
        ids, mask = prompts(batch, self._pad)
        with generating(model, self._settings):
            whole = model.generate(
                input_ids=ids, attention_mask=mask, generation_config=self._settings
            )
        written: list[str] = self._tokenizer.batch_decode(
            whole[:, ids.shape[1] :], skip_special_tokens=True
        )
        return written
