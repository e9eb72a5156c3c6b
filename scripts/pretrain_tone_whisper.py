"""Pretrain a tiny Whisper on words of tones, and write words of another voice as a task.

Nothing is downloaded: a letter is a tone with two overtones, a word two to five letters of uneven
length. The first voice is what the model is pretrained on, in some noise. The second one sings all
letters half a step nearer to the next one, with other overtones and more noise: by pitch alone its
letters lie between two of the first. It is written as a folder of sounds with a table beside them.

    python scripts/pretrain_tone_whisper.py --out tones --seed 0
    peftsearch run --model tones/model --task speech-recognition --data tones/data --budget 2%

Words of the three parts of the data are different ones, and none of them is withheld from the
pretraining: what is new is the voice. One thread, every seed fixed; some minutes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from torch.nn import functional
from transformers import (
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

RATE, SECONDS, BANDS = 16_000, 1, 40
LETTERS = "abcdefgh"
START, QUIET, END = "<|startoftranscript|>", "<|notimestamps|>", "<|endoftext|>"
PIECES = (END, START, QUIET, "Ġ", *LETTERS)
#: Pitch of the first letter in Hz, and the step from one letter to the next.
LOWEST, STEP = 280.0, 2 ** (3 / 12)
#: Overtones by their strength, shift in steps, noise.
FIRST = ((1.0, 0.3, 0.1), 0.0, 0.02)
SECOND = ((0.6, 0.8, 0.4), 0.5, 0.05)
ROWS = {"train": 400, "validation": 100, "test": 200}
STEPS, BATCH, RATE_OF_LEARNING = 1_500, 32, 3e-3

Voice = tuple[tuple[float, ...], float, float]
Samples = npt.NDArray[np.float32]


def word(rng: np.random.Generator) -> str:
    """Return two to five letters."""
    return "".join(rng.choice(list(LETTERS), rng.integers(2, 6)))


def sung(text: str, voice: Voice, rng: np.random.Generator) -> Samples:
    """Return the tones of a word, 0.1 to 0.16 s each, with some silence around them."""
    overtones, shift, noise = voice
    parts = [np.zeros(int(rng.uniform(0.02, 0.1) * RATE))]
    for letter in text:
        pitch = LOWEST * STEP ** (LETTERS.index(letter) + shift + rng.normal(0, 0.05))
        time = np.arange(int(rng.uniform(0.1, 0.16) * RATE)) / RATE
        tone = sum(
            strength * np.sin(2 * np.pi * pitch * (i + 1) * time + rng.uniform(0, 6))
            for i, strength in enumerate(overtones)
        )
        parts.append(tone * np.hanning(len(time)) ** 0.3)
    whole = 0.2 * np.concatenate(parts)
    return np.asarray(whole + rng.normal(0, noise, len(whole)), dtype=np.float32)


def processor() -> WhisperProcessor:
    """Return what reads a second of sound, and writes letters."""
    tokenizer = WhisperTokenizer(
        vocab={piece: i for i, piece in enumerate(PIECES)},
        merges=[],
        additional_special_tokens=[START, QUIET],
    )
    extractor = WhisperFeatureExtractor(
        feature_size=BANDS, sampling_rate=RATE, chunk_length=SECONDS
    )
    return WhisperProcessor(extractor, tokenizer)


def build_model() -> WhisperForConditionalGeneration:
    """Return an untrained Whisper of width 64: two layers each way."""
    config = WhisperConfig(
        vocab_size=len(PIECES),
        num_mel_bins=BANDS,
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        max_source_positions=50 * SECONDS,
        max_target_positions=16,
        pad_token_id=PIECES.index(END),
        bos_token_id=PIECES.index(END),
        eos_token_id=PIECES.index(END),
        decoder_start_token_id=PIECES.index(START),
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    return WhisperForConditionalGeneration(config)


def batch(
    reader: WhisperProcessor, voice: Voice, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return spectrograms (rows, bands, frames) and transcripts (rows, tokens), -100 behind."""
    texts = [word(rng) for _ in range(BATCH)]
    sounds = [sung(text, voice, rng) for text in texts]
    frames = reader.feature_extractor(sounds, sampling_rate=RATE, return_tensors="pt")
    ids = [reader.tokenizer(f" {text}")["input_ids"] for text in texts]
    longest = max(map(len, ids))
    table = torch.tensor([[*row, *[-100] * (longest - len(row))] for row in ids])
    return frames["input_features"], table


def pretrain(model: WhisperForConditionalGeneration, reader: WhisperProcessor, seed: int) -> None:
    """Train on the first voice, new words at every step."""
    rng = np.random.default_rng(seed)
    steps = torch.optim.AdamW(model.parameters(), lr=RATE_OF_LEARNING)
    plan = torch.optim.lr_scheduler.OneCycleLR(steps, RATE_OF_LEARNING, total_steps=STEPS)
    model.train()
    for step in range(STEPS):
        frames, ids = batch(reader, FIRST, rng)
        given = ids[:, :-1].clamp(min=0)
        wanted = ids[:, 1:].clone()
        wanted[:, 0] = -100  # the second token is given too
        logits = model(input_features=frames, decoder_input_ids=given, use_cache=False).logits
        loss = functional.cross_entropy(logits.transpose(1, 2), wanted, ignore_index=-100)
        steps.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        steps.step()
        plan.step()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}: loss {loss.item():.3f}", flush=True)


def write_voice(folder: Path, voice: Voice, seed: int) -> None:
    """Write different words in each part, as 16-bit FLAC with a table of what is sung."""
    rng = np.random.default_rng(seed)
    seen: set[str] = set()
    for part, count in ROWS.items():
        (folder / part).mkdir(parents=True)
        lines = ["file_name,transcription"]
        while len(lines) <= count:
            text = word(rng)
            if text in seen:
                continue
            seen.add(text)
            name = f"{len(lines):03d}.flac"
            soundfile.write(folder / part / name, sung(text, voice, rng), RATE, subtype="PCM_16")
            lines.append(f"{name},{text}")
        (folder / part / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Write model and data."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="a folder that is not there yet")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    given.out.mkdir(parents=True)
    model, reader = build_model(), processor()
    write_voice(given.out / "first-voice", FIRST, given.seed + 1)
    write_voice(given.out / "data", SECOND, given.seed + 2)
    pretrain(model, reader, given.seed)
    model.eval().save_pretrained(given.out / "model")
    reader.save_pretrained(given.out / "model")


if __name__ == "__main__":
    main()
