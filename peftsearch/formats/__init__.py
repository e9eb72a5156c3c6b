"""Formats: how a task meets a model. Imports torch."""

from __future__ import annotations

from typing import Any

from peftsearch.formats.base import Feature, Format
from peftsearch.formats.sequence_classification import SequenceClassification
from peftsearch.formats.text_to_text import TextToText
from peftsearch.tasks.base import Task

__all__ = ["Feature", "Format", "SequenceClassification", "TextToText", "make_format"]


def make_format(task: Task, tokenizer: Any, model_config: Any) -> Format:
    """Choose the format of a model: text-to-text if it has a decoder, else a head.

    Args:
        task: The task.
        tokenizer: Tokenizer of the model.
        model_config: Its ``transformers`` configuration.

    Raises:
        ConfigError: The task cannot be put to this model.
    """
    if getattr(model_config, "is_encoder_decoder", False):
        return TextToText(task, tokenizer, model_config)
    return SequenceClassification(task, tokenizer, model_config)
