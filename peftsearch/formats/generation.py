"""Text in, free text out, for encoder-decoder models.

Training minimises the mean token loss of the target and the end token. An answer is generated
token by token, always the most likely one. What a checkpoint says about generation (beams, least
lengths, forced tokens) is left aside: it belongs to the task the checkpoint was made for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache, GenerationConfig

from peftsearch.errors import ConfigError
from peftsearch.formats.base import Feature, position_limit
from peftsearch.formats.encoder_decoder import EncoderDecoder
from peftsearch.formats.target_length import require_length
from peftsearch.formats.target_tokenizer import load_target_tokenizer
from peftsearch.tasks.base import Task
from peftsearch.tasks.rows import Row

#: What is written where a question has no answer.
NO_ANSWER = "unanswerable"


def target_text(task: Task, row: Row) -> str:
    """Return the text to write for a row: of several right ones the first."""
    label = row[task.label_column]
    if task.kind == "extraction":
        label = label["text"] or [NO_ANSWER]
    text: str = label[0] if isinstance(label, list) else label
    return text.strip()


def as_answers(task: Task, written: Sequence[str]) -> list[str]:
    """Return what a model wrote as answers: no outer blanks; no answer is the empty text."""
    said = [text.strip() for text in written]
    return ["" if task.unanswerable and s == NO_ANSWER else s for s in said]


class Generation(EncoderDecoder):
    """The form of a task whose answers are free texts, or to be found in a text.

    Of several right texts the first is trained on. Where a question may have no answer, the model
    writes "unanswerable", which reads as the empty text.

    Args:
        task: The task.
        tokenizer: Tokenizer of the model; of the targets too, unless the task names another.
        config: Configuration of the model.

    Raises:
        ConfigError: The task has no template, or its target tokenizer does not fit.
    """

    generates = True

    def __init__(self, task: Task, tokenizer: Any, config: Any) -> None:
        super().__init__(task, tokenizer, config)
        self._writer = tokenizer
        if task.target_tokenizer is not None:
            self._writer = load_target_tokenizer(task.target_tokenizer, tokenizer)
            if len(self._writer) > config.vocab_size:
                raise ConfigError(
                    f'the target_tokenizer "{task.target_tokenizer}" has {len(self._writer):,} '
                    f"tokens, but the model knows {config.vocab_size:,}.",
                    "Name the one that the model was trained with.",
                )
        self.max_target_length = min(task.max_target_length, position_limit(config))
        self._settings = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=self.max_target_length,
            do_sample=False,
            num_beams=1,
            decoder_start_token_id=self._start,
            eos_token_id=self._end,
            pad_token_id=self._pad,
        )

    def features(self, rows: Sequence[Row]) -> list[Feature]:
        """Tokenise rows; prompts that are too long lose tokens of their longest text.

        Raises:
            ConfigError: A target is too long.
        """
        prompts = self.prompts(rows)
        if not prompts:
            return []
        texts = [target_text(self.task, row) for row in rows]
        encoded = self._writer(text_target=texts, verbose=False)["input_ids"]
        targets = [self.ended(ids) for ids in encoded]
        require_length(self.task, "targets", texts, targets, self.max_target_length)
        return [
            Feature({"input_ids": prompt}, target, self.task.reference(row))
            for prompt, target, row in zip(prompts, targets, rows, strict=True)
        ]

    @torch.no_grad()
    def predict(self, model: Any, batch: dict[str, Tensor]) -> list[str]:
        """The texts that the model writes, without special tokens and outer blanks."""
        with generating(model, self._settings):
            ids = model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                generation_config=self._settings,
                # One that grows: transformers gives T5 a cache of as many layers as its encoder
                # has, too few where the decoder is deeper.
                past_key_values=EncoderDecoderCache(DynamicCache(), DynamicCache()),
            )
        texts: list[str] = self._writer.batch_decode(ids, skip_special_tokens=True)
        return as_answers(self.task, texts)

    @torch.no_grad()
    def assess(self, model: Any, batch: dict[str, Tensor]) -> tuple[list[str], float]:
        """Predictions, and the mean token loss of the right texts."""
        return self.predict(model, batch), float(self.loss(model, batch))


@contextmanager
def generating(model: Any, settings: GenerationConfig) -> Iterator[None]:
    """Lend the model these settings: ``generate`` fills gaps of its argument from its own."""
    own = model.generation_config
    model.generation_config = settings
    try:
        yield
    finally:
        model.generation_config = own
