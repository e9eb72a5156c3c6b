"""Lines of Python that load a backbone as a user of another library would."""

from __future__ import annotations

from typing import Any

from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from peftsearch.backbones.base import head_prefixes
from peftsearch.export.base import Bundle
from peftsearch.micro import MODEL_DIRS


def is_seq2seq(model: Any) -> bool:
    """Whether text is the answer: an encoder-decoder may also have a head for labels."""
    return bool(model.config.is_encoder_decoder) and not head_prefixes(model)


def is_decoder(model: Any) -> bool:
    """Whether a model is a causal language model, the only kind that most trainers know."""
    causal = type(model).__name__ in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()
    return causal and not model.config.is_encoder_decoder


def auto_class(model: Any) -> str:
    """Return the name of the transformers class that loads a model's checkpoint."""
    if is_decoder(model):
        return "AutoModelForCausalLM"
    name = type(model).__name__
    if model.main_input_name == "input_features":
        return "AutoModelForSpeechSeq2Seq"
    autos = {
        "ForConditionalGeneration": "AutoModelForSeq2SeqLM",
        "MTModel": "AutoModelForSeq2SeqLM",  # Marian
        "ForSequenceClassification": "AutoModelForSequenceClassification",
        "ForTokenClassification": "AutoModelForTokenClassification",
        "ForQuestionAnswering": "AutoModelForQuestionAnswering",
        "ForImageClassification": "AutoModelForImageClassification",
        "ForImageClassificationWithTeacher": "AutoModelForImageClassification",
    }
    return next((auto for end, auto in autos.items() if name.endswith(end)), name)


def backbone_lines(bundle: Bundle) -> list[str]:
    """Return the lines that load the plain backbone as ``model``."""
    model = bundle.backbone.model
    auto = auto_class(model)
    labels = "" if not head_prefixes(model) else f", num_labels={model.config.num_labels}"
    name = bundle.architecture.model
    base, extra = repr(name), []
    if name in MODEL_DIRS:
        base, extra = f"MODEL_DIRS[{name!r}]", ["from peftsearch.micro import MODEL_DIRS"]
    return [
        f"from transformers import {auto}",
        *extra,
        f"model = {auto}.from_pretrained({base}{labels})",
    ]
