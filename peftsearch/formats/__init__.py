"""Formats: how a task meets a model. Imports torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from peftsearch.errors import ConfigError
from peftsearch.formats.base import Feature, Format
from peftsearch.formats.choice_likelihood import ChoiceLikelihood
from peftsearch.formats.generation import Generation
from peftsearch.formats.label_generation import LabelGeneration
from peftsearch.formats.multiple_choice import MultipleChoice
from peftsearch.formats.question_answering import QuestionAnswering
from peftsearch.formats.sequence_classification import SequenceClassification
from peftsearch.formats.text_to_text import TextToText
from peftsearch.formats.token_classification import TokenClassification
from peftsearch.tasks.base import Task

__all__ = [
    "ChoiceLikelihood",
    "Feature",
    "Format",
    "Generation",
    "LabelGeneration",
    "MultipleChoice",
    "QuestionAnswering",
    "SequenceClassification",
    "TextToText",
    "TokenClassification",
    "make_format",
    "require_decoder",
]


def make_format(task: Task, tokenizer: Any, model_config: Any) -> Format:
    """Choose the format: text-to-text for a model with a decoder, else a head.

    Args:
        task: The task.
        tokenizer: Tokenizer of the model.
        model_config: Its ``transformers`` configuration.

    Raises:
        ConfigError: The task cannot be put to this model.
    """
    require_decoder(task, model_config)
    if getattr(model_config, "is_encoder_decoder", False):
        return _text_to_text(task)(task, tokenizer, model_config)
    return _ENCODERS.get(task.kind, SequenceClassification)(task, tokenizer, model_config)


_ENCODERS: dict[str, Callable[[Task, Any, Any], Format]] = {
    "choice": MultipleChoice,
    "tagging": TokenClassification,
    "extraction": QuestionAnswering,
}


def _text_to_text(task: Task) -> Callable[[Task, Any, Any], Format]:
    if task.kind in ("generation", "extraction"):
        return Generation
    if task.kind == "choice" and not task.label_words:
        return ChoiceLikelihood
    return LabelGeneration if task.scoring == "generation" else TextToText


def require_decoder(task: Task, model_config: Any) -> None:
    """Refuse a generation task for a model that cannot write, and tagging for one that writes.

    Raises:
        ConfigError: The model is no encoder-decoder; or it is, and the task is tagging.
    """
    writes = getattr(model_config, "is_encoder_decoder", False)
    if task.kind == "tagging" and writes:
        raise ConfigError(
            f'the task "{task.name}" is tagging, which needs an encoder with a head for words; '
            f'this model is of type "{model_config.model_type}".',
            "Give an encoder, e.g. --model bert-base-cased.",
        )
    if task.kind == "generation" and not writes:
        raise ConfigError(
            f'the task "{task.name}" is generation, which needs an encoder-decoder model; this '
            f'one is of type "{model_config.model_type}".',
            "Give such a model, e.g. --model micro-t5 or --model t5-base.",
        )
