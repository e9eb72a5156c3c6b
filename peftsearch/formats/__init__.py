"""Formats: how a task meets a model. Imports torch."""

from __future__ import annotations

from typing import Any

from peftsearch.errors import ConfigError
from peftsearch.formats.base import Feature, Format
from peftsearch.formats.generation import Generation
from peftsearch.formats.sequence_classification import SequenceClassification
from peftsearch.formats.text_to_text import TextToText
from peftsearch.tasks.base import Task

__all__ = [
    "Feature",
    "Format",
    "Generation",
    "SequenceClassification",
    "TextToText",
    "make_format",
    "require_decoder",
]


def make_format(task: Task, tokenizer: Any, model_config: Any) -> Format:
    """Choose the format: generation, else text-to-text for a model with a decoder, else a head.

    Args:
        task: The task.
        tokenizer: Tokenizer of the model.
        model_config: Its ``transformers`` configuration.

    Raises:
        ConfigError: The task cannot be put to this model.
    """
    require_decoder(task, model_config)
    if task.kind == "generation":
        return Generation(task, tokenizer, model_config)
    if getattr(model_config, "is_encoder_decoder", False):
        return TextToText(task, tokenizer, model_config)
    return SequenceClassification(task, tokenizer, model_config)


def require_decoder(task: Task, model_config: Any) -> None:
    """Refuse a generation task for a model that cannot write.

    Raises:
        ConfigError: The model is no encoder-decoder.
    """
    if task.kind == "generation" and not getattr(model_config, "is_encoder_decoder", False):
        raise ConfigError(
            f'the task "{task.name}" is generation, which needs an encoder-decoder model; this '
            f'one is of type "{model_config.model_type}".',
            "Give such a model, e.g. --model micro-t5 or --model t5-base.",
        )
