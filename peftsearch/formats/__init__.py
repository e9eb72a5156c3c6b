"""Formats: how a task meets a model. Imports torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from peftsearch.formats.base import Feature, Format, mean_number
from peftsearch.formats.causal_choices import CausalChoices
from peftsearch.formats.causal_generation import CausalGeneration
from peftsearch.formats.causal_label_generation import CausalLabelGeneration
from peftsearch.formats.causal_labels import CausalLabels
from peftsearch.formats.chat import Chat
from peftsearch.formats.choice_likelihood import ChoiceLikelihood
from peftsearch.formats.choosing import form_of, head_of, head_outputs, is_decoder
from peftsearch.formats.generation import Generation
from peftsearch.formats.image_classification import ImageClassification
from peftsearch.formats.image_text_retrieval import ImageTextRetrieval
from peftsearch.formats.label_generation import LabelGeneration
from peftsearch.formats.language_modelling import LanguageModelling
from peftsearch.formats.multiple_choice import MultipleChoice
from peftsearch.formats.question_answering import QuestionAnswering
from peftsearch.formats.sequence_classification import SequenceClassification
from peftsearch.formats.speech_recognition import SpeechRecognition
from peftsearch.formats.text_to_text import TextToText
from peftsearch.formats.token_classification import TokenClassification
from peftsearch.tasks.base import Task

__all__ = [
    "CausalChoices",
    "CausalGeneration",
    "CausalLabelGeneration",
    "CausalLabels",
    "Chat",
    "ChoiceLikelihood",
    "Feature",
    "Format",
    "Generation",
    "ImageClassification",
    "ImageTextRetrieval",
    "LabelGeneration",
    "LanguageModelling",
    "MultipleChoice",
    "QuestionAnswering",
    "SequenceClassification",
    "SpeechRecognition",
    "TextToText",
    "TokenClassification",
    "form_of",
    "head_of",
    "head_outputs",
    "make_format",
    "mean_number",
]


def make_format(task: Task, reader: Any, model_config: Any, wanted: str = "auto") -> Format:
    """Choose the format by the rule of :mod:`peftsearch.formats.choosing`.

    Args:
        task: The task.
        reader: What reads rows for the model: its tokenizer, image processor, or processor of both.
        model_config: Its ``transformers`` configuration.
        wanted: ``auto``, ``text`` or ``head``.

    Raises:
        ConfigError: The task cannot be put to this model.
    """
    if form_of(task, model_config, wanted) == "head":
        made = _HEADS.get(task.kind, SequenceClassification)
    else:
        made = _of_decoder(task) if is_decoder(model_config) else _of_encoder_decoder(task)
    return made(task, reader, model_config)


_HEADS: dict[str, Callable[[Task, Any, Any], Format]] = {
    "choice": MultipleChoice,
    "tagging": TokenClassification,
    "extraction": QuestionAnswering,
    "image-classification": ImageClassification,
    "image-text-retrieval": ImageTextRetrieval,
}


def _of_encoder_decoder(task: Task) -> Callable[[Task, Any, Any], Format]:
    if task.kind in ("generation", "extraction"):
        return Generation
    if task.kind == "speech-recognition":
        return SpeechRecognition
    if task.kind == "choice" and not task.label_words:
        return ChoiceLikelihood
    return LabelGeneration if task.scoring == "generation" else TextToText


def _of_decoder(task: Task) -> Callable[[Task, Any, Any], Format]:
    if task.kind in ("generation", "extraction"):
        return CausalGeneration
    kinds: dict[str, Callable[[Task, Any, Any], Format]] = {
        "language-modelling": LanguageModelling,
        "chat": Chat,
    }
    if task.kind in kinds:
        return kinds[task.kind]
    if task.kind == "choice" and not task.label_words:
        return CausalChoices
    return CausalLabelGeneration if task.scoring == "generation" else CausalLabels
