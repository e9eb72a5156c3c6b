"""Which format a task takes with a model, and whether the model needs a head for labels.

The rule, for ``format: auto``:

==================  ==================  ===============  =========================
kind of task        encoder             encoder-decoder  decoder
==================  ==================  ===============  =========================
classification      head                text             text
image-...           head                refused          refused
regression          head                text             head
choice              head                text             text
tagging             head                refused          refused
extraction          head                text             text
generation          refused             text             text
speech-recognition  refused             text (Whisper)   refused
language-modelling  refused             refused          text
chat                refused             refused          text
==================  ==================  ===============  =========================

Kinds with images are for models that have a class for it in transformers, whatever else they are.
Of image-text-retrieval the "head" is what compares the two towers, and comes with the checkpoint.

``text`` writes the answer with the language model's own head; ``head`` reads labels from a new one.
``head`` may be asked for with a decoder in classification, ``text`` in regression; there
``scoring: generation`` asks for ``text`` too.
"""

from __future__ import annotations

from typing import Any

from peftsearch.catalogue import decoders
from peftsearch.errors import ConfigError
from peftsearch.tasks.base import Task
from peftsearch.tasks.shapes import HOLDS

_WRITTEN = ("generation", "speech-recognition", "language-modelling", "chat")
#: Kinds of which a decoder writes the answer.
_BY_DECODERS = (*_WRITTEN, "classification", "choice", "extraction")
#: Kinds that a decoder may also do with a head for the whole text.
_BY_DECODERS_HEADS = ("classification", "regression")
_OF_DECODERS = ("language-modelling", "chat")


def is_decoder(model_config: Any) -> bool:
    """Whether a model is a decoder alone."""
    return model_config.model_type in decoders()


def form_of(task: Task, model_config: Any, wanted: str = "auto") -> str:
    """Return ``text`` or ``head``.

    Args:
        task: The task.
        model_config: Configuration of the model.
        wanted: What was asked for, one of :data:`peftsearch.tasks.base.FORMATS`.

    Raises:
        ConfigError: The model cannot do the task, or not in the form that was asked for.
    """
    writes = bool(getattr(model_config, "is_encoder_decoder", False))
    alone = is_decoder(model_config)
    if task.kind in _WRITTEN:
        _require_writer(task, model_config, alone or (writes and task.kind not in _OF_DECODERS))
    _require_reader(task, model_config, writes or alone)
    written = task.kind in _WRITTEN or (writes and task.kind not in HOLDS)
    found = "text" if written else "head"
    if alone and (task.kind in _BY_DECODERS or task.scoring == "generation"):
        found = "text"
    if wanted in ("auto", found):
        return found
    if alone and task.kind in _BY_DECODERS_HEADS:
        return wanted
    what = f"a task of kind {task.kind}" if task.kind in _WRITTEN else model_config.model_type
    raise ConfigError(
        f'the format "{wanted}" is not to be had for {what}: it takes "{found}".',
        "Leave out --format.",
    )


def _require_reader(task: Task, model_config: Any, has_decoder: bool) -> None:
    """Refuse what needs an encoder's head."""
    if task.kind != "tagging" or not has_decoder:
        return
    raise ConfigError(
        f'the task "{task.name}" is {task.kind}, which needs an encoder with a head for words; '
        f'this model is of type "{model_config.model_type}".',
        "Give an encoder, e.g. --model bert-base-cased.",
    )


def _require_writer(task: Task, model_config: Any, able: bool) -> None:
    if able:
        return
    text = task.kind not in _OF_DECODERS
    need = "an encoder-decoder model or a decoder" if text else "a decoder"
    hint = "--model micro-t5 or --model gpt2" if text else "--model gpt2"
    raise ConfigError(
        f'the task "{task.name}" is {task.kind}, which needs {need}; this one is of '
        f'type "{model_config.model_type}".',
        f"Give such a model, e.g. {hint}.",
    )


def head_outputs(task: Task, model_config: Any, wanted: str = "auto") -> int:
    """Return the outputs of the head that the model needs; 0 for none.

    That is 1 for a regression or a choice, and 2 for begin and end of an answer.
    """
    if form_of(task, model_config, wanted) == "text" or task.kind == "image-text-retrieval":
        return 0
    return 2 if task.kind == "extraction" else max(1, len(task.labels))


def head_of(task: Task) -> str:
    """Return which head an encoder needs, as a key of ``backbones.loading.HEADS``."""
    heads = {
        "tagging": "tokens",
        "extraction": "span",
        "image-classification": "image",
        "speech-recognition": "speech",
        "image-text-retrieval": "pair",
    }
    return heads.get(task.kind, "sequence")
