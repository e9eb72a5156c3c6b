"""Sounds in, transcript out, for Whisper.

Training minimises the mean token loss of the transcript and the end token; language and task before
it are given, not learned. A transcript is generated token by token, always the most likely one.
What a checkpoint says about generation (suppressed tokens, marks of time, windows over longer
sounds) is left aside. The transcript begins with a blank, as in Whisper's own training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import (
    DynamicCache,
    EncoderDecoderCache,
    GenerationConfig,
    GenerationMixin,
)

from peftsearch.errors import ConfigError
from peftsearch.formats.base import Feature, padded
from peftsearch.formats.encoder_decoder import IGNORED
from peftsearch.formats.generation import generating, target_text
from peftsearch.formats.spectrograms import SpectrogramReader
from peftsearch.formats.target_length import require_length
from peftsearch.formats.transcript_prefix import transcript_prefix
from peftsearch.tasks.base import Task
from peftsearch.tasks.rows import Row


class SpeechRecognition:
    """The form of a task for ``AutoModelForSpeechSeq2Seq``.

    Args:
        task: The task; its column is the sound.
        processor: Processor of the model: feature extractor and tokenizer.
        config: Configuration of the model.

    Raises:
        ConfigError: The model is no Whisper, or its language is not clear.
    """

    generates = True
    num_labels = 0

    def __init__(self, task: Task, processor: Any, config: Any) -> None:
        if config.model_type != "whisper":
            raise ConfigError(
                f'the task "{task.name}" is {task.kind}, which Whisper does; this model is of type '
                f'"{config.model_type}".',
                "Give such a model, e.g. --model openai/whisper-tiny.",
            )
        self.task = task
        self.truncated = 0  # a sound that is too long is refused, not cut
        self.max_length = task.max_length
        self._tokenizer = processor.tokenizer
        self._sounds = SpectrogramReader(processor.feature_extractor, config)
        self.prefix = transcript_prefix(task, self._tokenizer, config)
        self._end, self._pad = int(self._tokenizer.eos_token_id), int(config.pad_token_id)
        room = int(config.max_target_positions) - len(self.prefix)
        self.max_target_length = min(task.max_target_length, room)
        self._settings = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=self.max_target_length,
            do_sample=False,
            num_beams=1,
            decoder_start_token_id=self.prefix[0],
            eos_token_id=self._end,
            pad_token_id=self._pad,
        )

    def features(self, rows: Sequence[Row]) -> list[Feature]:
        """Tokenise transcripts; sounds stay as they lie, and are decoded for a batch.

        Raises:
            ConfigError: A sound is longer than the model hears, or a transcript than it may write.
        """
        sounds = [row[self.task.columns[0]] for row in rows]
        texts = [target_text(self.task, row) for row in rows]
        targets = [self._target(text) for text in texts]
        self._check_sounds(sounds, texts)
        require_length(self.task, "transcripts", texts, targets, self.max_target_length)
        return [
            Feature({"input_features": sound}, target, self.task.reference(row))
            for sound, target, row in zip(sounds, targets, rows, strict=True)
        ]

    def _target(self, text: str) -> list[int]:
        ids = self._tokenizer(f" {text}", add_special_tokens=False, verbose=False)["input_ids"]
        return [*ids, self._end]

    def _check_sounds(self, sounds: Sequence[Any], texts: Sequence[str]) -> None:
        long = self._sounds.too_long(sounds)
        if not long:
            return
        place, length = max(long, key=lambda each: each[1])
        path = sounds[place].path
        where = f'"{path}"' if path is not None else f'that of "{texts[place]:.40}"'
        raise ConfigError(
            f'{len(long):,} of {len(sounds):,} sounds of task "{self.task.name}" are longer than '
            f"the {self._sounds.longest:g} s that the model hears; the longest, {where}, has "
            f"{length:.1f} s.",
            "Cut them where nothing is said, each with its part of the transcript.",
        )

    def terms(self, features: Sequence[Feature]) -> int:
        """The tokens of the transcripts."""
        return sum(len(each.target) for each in features if isinstance(each.target, list))

    def collate(self, features: Sequence[Feature]) -> dict[str, Tensor]:
        """Return input_features (batch, bands, frames), decoder_input_ids and labels.

        Both of the latter are (batch, longest), int64; labels are -100 where the prefix is given.
        """
        targets = [f.target if isinstance(f.target, list) else [] for f in features]
        given = [IGNORED] * (len(self.prefix) - 1)
        return {
            "input_features": self._sounds.batch([f.inputs["input_features"] for f in features]),
            "decoder_input_ids": padded([[*self.prefix, *ids[:-1]] for ids in targets], self._pad),
            "labels": padded([[*given, *ids] for ids in targets], IGNORED),
        }

    def loss(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Mean cross-entropy over the tokens of the transcripts, in float32."""
        logits = model(
            input_features=batch["input_features"],
            decoder_input_ids=batch["decoder_input_ids"],
            use_cache=False,
        ).logits
        flat, labels = logits.float().flatten(0, 1), batch["labels"].flatten()
        return functional.cross_entropy(flat, labels, ignore_index=IGNORED)

    @torch.no_grad()
    def predict(self, model: Any, batch: dict[str, Tensor]) -> list[str]:
        """The transcripts that the model writes, without special tokens and outer blanks."""
        frames = batch["input_features"]
        start = torch.tensor([self.prefix] * len(frames), device=frames.device)
        with generating(model, self._settings):
            # Whisper's own generate cuts longer sounds and sets tokens by the checkpoint.
            ids = GenerationMixin.generate(
                model,
                frames,
                attention_mask=torch.ones_like(frames[:, 0]),  # nothing of a sound is masked
                decoder_input_ids=start,
                generation_config=self._settings,
                past_key_values=EncoderDecoderCache(DynamicCache(), DynamicCache()),
            )
        texts: list[str] = self._tokenizer.batch_decode(
            ids[:, len(self.prefix) :], skip_special_tokens=True
        )
        return [text.strip() for text in texts]

    @torch.no_grad()
    def assess(self, model: Any, batch: dict[str, Tensor]) -> tuple[list[str], float]:
        """Predictions, and the mean token loss of the right transcripts."""
        return self.predict(model, batch), float(self.loss(model, batch))
