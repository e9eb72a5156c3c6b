"""Tones that spell letters, and what a tiny Whisper reads them with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import WhisperFeatureExtractor, WhisperProcessor, WhisperTokenizer

from peftsearch.tasks.sounds import encoded
from tests.models import FACTORIES

RATE = 16_000
BANDS = 20
LETTERS = "abcd"
#: With the blank that stands before the first letter, as Whisper's tokenizer writes it.
VOCABULARY = ("<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>", "Ġ", *LETTERS)
Samples = npt.NDArray[np.float32]


def processor(seconds: int = 1) -> Any:
    """Return a feature extractor of so many seconds, and a tokenizer of a few letters."""
    tokenizer = WhisperTokenizer(
        vocab={piece: i for i, piece in enumerate(VOCABULARY)},
        merges=[],
        unk_token="<|endoftext|>",
        additional_special_tokens=["<|startoftranscript|>", "<|notimestamps|>"],
    )
    extractor = WhisperFeatureExtractor(
        feature_size=BANDS, sampling_rate=RATE, chunk_length=seconds
    )
    return WhisperProcessor(extractor, tokenizer)


def whisper(seconds: int = 1, width: int = 16, **more: Any) -> Any:
    """Return a tiny Whisper that fits :func:`processor`."""
    settings = {
        "vocab_size": len(VOCABULARY),
        "num_mel_bins": BANDS,
        "max_source_positions": 50 * seconds,
        "pad_token_id": 0,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "decoder_start_token_id": 1,
        "encoder_layers": 1,
        "decoder_layers": 1,
    }
    return FACTORIES["whisper"](width, **{**settings, **more})


def spelt(text: str, rate: int = RATE, pitch: float = 1.0, length: float = 0.1) -> Samples:
    """Return a tone for each letter, of so many seconds each."""
    time = np.arange(int(length * rate)) / rate
    tones = [np.sin(2 * np.pi * 300 * pitch * 1.5 ** LETTERS.index(c) * time) for c in text]
    return np.asarray(np.concatenate(tones) * 0.5, dtype=np.float32)


def words(count: int, seed: int = 0, longest: int = 4) -> list[str]:
    """Return different words of these letters."""
    rng = np.random.default_rng(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        letters: Sequence[str] = rng.choice(list(LETTERS), rng.integers(2, longest + 1)).tolist()
        found["".join(letters)] = None
    return list(found)


def folder_of(root: Path, name: str = "transcription") -> Path:
    """Write folders of sounds with a table of what is said, as the Hub's audio folders."""
    for split, seed, count in (("train", 0, 40), ("validation", 9, 8)):
        (root / split / "clips").mkdir(parents=True)
        lines = [f"file_name,{name}"]
        for i, word in enumerate(words(count, seed)):
            (root / split / "clips" / f"{i}.wav").write_bytes(encoded(spelt(word), RATE))
            lines.append(f"clips/{i}.wav,{word}")
        (root / split / "metadata.csv").write_text("\n".join(lines) + "\n")
    return root
