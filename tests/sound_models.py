"""Tiny models that read spectrograms; :mod:`tests.models` draws their parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import WhisperConfig, WhisperForConditionalGeneration

VOCABULARY = 50


def whisper(width: int = 32, **more: Any) -> Any:
    """Whisper that reads sixteen frames of ten bands: norms in front, keys without biases."""
    settings: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "num_mel_bins": 10,
        "d_model": width,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": width + 8,
        "decoder_ffn_dim": width + 4,
        "max_source_positions": 8,
        "max_target_positions": 24,
        "dropout": 0.0,
        "encoder_layerdrop": 0.0,
        "decoder_layerdrop": 0.0,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 1,
        "decoder_start_token_id": 2,
        "suppress_tokens": None,
        "begin_suppress_tokens": None,
    }
    return WhisperForConditionalGeneration(WhisperConfig(**{**settings, **more}))


#: Every family by name.
SOUNDS: dict[str, Callable[..., Any]] = {"whisper": whisper}
