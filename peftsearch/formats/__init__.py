"""Formats: how a task meets a model. Imports torch."""

from __future__ import annotations

from typing import Any

from peftsearch.formats.base import Feature, Format
from peftsearch.formats.causal_generation import CausalGeneration
from peftsearch.formats.causal_labels import CausalLabels
from peftsearch.formats.chat import Chat
from peftsearch.formats.choosing import form_of, head_outputs, is_decoder
from peftsearch.formats.generation import Generation
from peftsearch.formats.language_modelling import LanguageModelling
from peftsearch.formats.sequence_classification import SequenceClassification
from peftsearch.formats.text_to_text import TextToText
from peftsearch.tasks.base import Task

__all__ = [
    "CausalGeneration",
    "CausalLabels",
    "Chat",
    "Feature",
    "Format",
    "Generation",
    "LanguageModelling",
    "SequenceClassification",
    "TextToText",
    "form_of",
    "head_outputs",
    "make_format",
]


def make_format(task: Task, tokenizer: Any, model_config: Any, wanted: str = "auto") -> Format:
    """Choose the format by the rule of :mod:`peftsearch.formats.choosing`.

    Args:
        task: The task.
        tokenizer: Tokenizer of the model.
        model_config: Its ``transformers`` configuration.
        wanted: ``auto``, ``text`` or ``head``.

    Raises:
        ConfigError: The task cannot be put to this model.
    """
    if form_of(task, model_config, wanted) == "head":
        return SequenceClassification(task, tokenizer, model_config)
    kinds: dict[str, type[Any]] = {
        "generation": Generation,
        "language-modelling": LanguageModelling,
        "chat": Chat,
    }
    plain: type[Any] = TextToText
    if is_decoder(model_config):
        kinds["generation"] = CausalGeneration
        plain = CausalLabels
    found: Format = kinds.get(task.kind, plain)(task, tokenizer, model_config)
    return found
