"""A small input for models that read spectrograms, made from the config."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_ROWS, _TOKENS, _FIRST = 2, 3, 3


def sample_sounds(config: Any) -> dict[str, Tensor]:
    """Return frames of drawn sound, as many as the model takes, and beginnings of texts."""
    generator = torch.Generator().manual_seed(0)
    shape = (_ROWS, config.num_mel_bins, 2 * config.max_source_positions)
    start = torch.full((_ROWS, 1), config.decoder_start_token_id)
    rest = torch.randint(_FIRST, config.vocab_size, (_ROWS, _TOKENS), generator=generator)
    return {
        "input_features": torch.randn(shape, generator=generator),
        "decoder_input_ids": torch.cat([start, rest], dim=1),
    }
