"""Tiny models of every supported family, with every parameter drawn at random.

Fresh transformers models have norm weights of one, biases of zero and nearly uniform
attention: much that is wrong would pass on them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BartForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    MBartConfig,
    MBartForConditionalGeneration,
    MT5Config,
    MT5ForConditionalGeneration,
    RobertaConfig,
    RobertaForSequenceClassification,
    T5Config,
    T5ForConditionalGeneration,
)

from tests.decoder_models import DECODERS
from tests.encoder_models import ENCODERS
from tests.encoder_models import KIN as _KIN
from tests.sound_models import SOUNDS
from tests.vision_models import KIN as _VISION_KIN
from tests.vision_models import SIZE, VISION

VOCABULARY = 50


@torch.no_grad()
def randomise(model: Any, seed: int = 0) -> Any:
    """Draw every parameter so that activations and attention logits are of order one."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        if not parameter.requires_grad:  # Marian's sinusoids are computed, never loaded
            continue
        drawn = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() > 1:
            embedding = any(part in name for part in ("shared", "embed", "relative_attention"))
            embedding = embedding and parameter.dim() < 4  # a convolution embeds patches
            scale = 0.7 if embedding else (parameter.numel() / len(parameter)) ** -0.5
            if name.endswith(("SelfAttention.q.weight", "EncDecAttention.q.weight")):
                scale *= model.config.d_kv**-0.5  # T5 does not scale attention logits itself
            parameter.copy_(drawn * scale)
        else:
            is_norm = re.search(r"norm|\bln_", name.lower()) and name.endswith("weight")
            parameter.copy_(drawn * 0.3 + float(bool(is_norm)))
    return model.eval()


def _t5_settings(width: int, **more: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "d_model": width,
        "d_kv": width // 4,
        "d_ff": width + 8,
        "num_layers": 2,
        "num_decoder_layers": 2,
        "num_heads": 4,
        "dropout_rate": 0.0,
        "decoder_start_token_id": 0,
        "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 16,
    }
    return {**settings, **more}


def t5(width: int = 32, **more: Any) -> Any:
    """The first T5: ReLU, tied embeddings."""
    return randomise(T5ForConditionalGeneration(T5Config(**_t5_settings(width, **more))))


def t5_v1_1(width: int = 32, **more: Any) -> Any:
    """T5 v1.1: gated, untied head; the key width is not width / heads."""
    settings = _t5_settings(
        width, d_kv=6, feed_forward_proj="gated-gelu", tie_word_embeddings=False, **more
    )
    return randomise(_untied(T5ForConditionalGeneration(T5Config(**settings))))


def mt5(width: int = 32, **more: Any) -> Any:
    """A multilingual T5."""
    return randomise(MT5ForConditionalGeneration(MT5Config(**_t5_settings(width, **more))))


def byt5(width: int = 32, **more: Any) -> Any:
    """In the manner of ByT5: a deep encoder and a shallow decoder, gated, untied."""
    shape = {"num_layers": 3, "num_decoder_layers": 1, "vocab_size": 64}
    settings = _t5_settings(
        width, feed_forward_proj="gated-gelu", tie_word_embeddings=False, **shape, **more
    )
    return randomise(_untied(T5ForConditionalGeneration(T5Config(**settings))))


def _untied(model: Any) -> Any:
    """Give a T5 a head of its own, as loading a checkpoint that holds one does."""
    model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.shared.weight))
    return model


def _encoder_settings(width: int, **more: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": width,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": width + 8,
        "max_position_embeddings": 40,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "num_labels": 3,
    }
    return {**settings, **more}


def bert(width: int = 32, **more: Any) -> Any:
    """BERT with a classification head."""
    return randomise(BertForSequenceClassification(BertConfig(**_encoder_settings(width, **more))))


def roberta(width: int = 32, **more: Any) -> Any:
    """RoBERTa with its two-layer classification head."""
    settings = _encoder_settings(width, **more)
    return randomise(RobertaForSequenceClassification(RobertaConfig(**settings)))


def _bart_settings(width: int, **more: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "d_model": width,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 2,  # not as many as in the encoder
        "encoder_ffn_dim": width + 8,
        "decoder_ffn_dim": width + 4,
        "max_position_embeddings": 40,
        "dropout": 0.0,
        "decoder_start_token_id": 2,
        "forced_eos_token_id": None,
        "num_labels": 3,
    }
    return {**settings, **more}


def bart(width: int = 32, **more: Any) -> Any:
    """BART: norms behind each part, biases, learned positions, tied embeddings."""
    return _biased(BartForConditionalGeneration(BartConfig(**_bart_settings(width, **more))))


def mbart(width: int = 32, **more: Any) -> Any:
    """mBART: norms in front of each part, and one more at the end of a stack."""
    return _biased(MBartForConditionalGeneration(MBartConfig(**_bart_settings(width, **more))))


@torch.no_grad()
def _biased(model: Any) -> Any:
    """Draw BART's bias of the logits too, a buffer that checkpoints may hold."""
    bias = model.final_logits_bias
    bias.copy_(torch.randn(bias.shape, generator=torch.Generator().manual_seed(0)))
    return randomise(model)


def bart_classifier(width: int = 32, **more: Any) -> Any:
    """BART with a classification head on the end token of the decoder."""
    settings = _bart_settings(width, **more)
    return randomise(BartForSequenceClassification(BartConfig(**settings)))


def _randomised(make: Callable[..., Any], width: int = 32, **more: Any) -> Any:
    """Return a model of a factory with every parameter drawn."""
    return randomise(make(width, **more))


#: Families whose modules are those of another one, by name.
KIN: dict[str, Callable[..., Any]] = {
    name: partial(_randomised, make) for name, make in {**_KIN, **_VISION_KIN}.items()
}
#: Every backbone family and variant by name; each takes ``width`` and settings of its config.
FACTORIES: dict[str, Callable[..., Any]] = {
    "t5": t5,
    "t5_v1_1": t5_v1_1,
    "mt5": mt5,
    "byt5": byt5,
    "bart": bart,
    "mbart": mbart,
    "bart_classifier": bart_classifier,
    "bert": bert,
    "roberta": roberta,
    **{name: partial(_randomised, ENCODERS[name]) for name in ENCODERS},
    **{name: partial(_randomised, DECODERS[name]) for name in DECODERS},
    **{name: partial(_randomised, SOUNDS[name]) for name in SOUNDS},
    **{name: partial(_randomised, VISION[name]) for name in VISION},
}

#: Those with hardly a module that another one lacks; in the long tests they are slow ones.
VARIANTS = {"byt5", "longt5_global", "deberta_v3", "llama_classifier", "gpt2_classifier"}
VARIANTS |= {"opt_350m", "mistral", "qwen2", "gemma"}
#: Parameters for a long test over every family.
EACH_FAMILY = [
    pytest.param(name, marks=[pytest.mark.slow] * (name in VARIANTS)) for name in FACTORIES
]


def inputs(model: Any, rows: int = 3, length: int = 7, seed: int = 1) -> dict[str, torch.Tensor]:
    """Return a batch with padding in all rows but the last; of images where the model sees."""
    generator = torch.Generator().manual_seed(seed)
    if model.main_input_name == "input_features":
        return _spectrograms(model.config, rows, generator)
    config, images = model.config, dict[str, torch.Tensor]()
    if model.main_input_name == "pixel_values" or hasattr(config, "vision_config"):
        channels = getattr(config, "vision_config", config).num_channels
        pixels = torch.randn((rows, channels, SIZE, SIZE), generator=generator)
        images = {"pixel_values": pixels}
        if model.main_input_name == "pixel_values":
            return images
        config = config.text_config
    ids = torch.randint(3, VOCABULARY, (rows, length), generator=generator)
    mask = torch.ones_like(ids)
    for row in range(rows - 1):
        mask[row, length - 2 + row :] = 0
    pad = config.pad_token_id
    batch = {"input_ids": ids.masked_fill(mask == 0, pad), "attention_mask": mask}
    if images:
        return {**batch, **images}
    if hasattr(model, "classification_head"):  # of an encoder-decoder: reads the end token
        batch["input_ids"][torch.arange(rows), mask.sum(1) - 1] = model.config.eos_token_id
    elif model.config.is_encoder_decoder:
        start = torch.full((rows, 1), model.config.decoder_start_token_id)
        rest = torch.randint(3, VOCABULARY, (rows, 3), generator=generator)
        batch["decoder_input_ids"] = torch.cat([start, rest], dim=1)
    return batch


def _spectrograms(config: Any, rows: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Return frames of sound with the beginnings of texts; there is no padding to be masked."""
    shape = (rows, config.num_mel_bins, 2 * config.max_source_positions)
    start = torch.full((rows, 1), config.decoder_start_token_id)
    rest = torch.randint(3, VOCABULARY, (rows, 3), generator=generator)
    return {
        "input_features": torch.randn(shape, generator=generator),
        "decoder_input_ids": torch.cat([start, rest], dim=1),
    }
