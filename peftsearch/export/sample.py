"""A small input for any model that gives labels or writes text, made from its config."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from peftsearch.backbones.base import head_prefixes
from peftsearch.export.sample_sounds import sample_sounds

_ROWS, _LENGTH, _FIRST = 3, 7, 3
_KINDS = (
    "ForConditionalGeneration",
    "MTModel",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForImageClassification",
    "ForImageClassificationWithTeacher",
    "CLIPModel",
    "SiglipModel",
    "ForCausalLM",
    "LMHeadModel",
)


def sample_inputs(model: Any) -> dict[str, Tensor] | None:
    """Return a padded batch of drawn token ids, or images, or both; ``None`` for other models.

    Every row ends in the end token, which encoder-decoders with a head for labels read.
    """
    if not type(model).__name__.endswith(_KINDS):
        return None
    if model.main_input_name == "input_features":
        return sample_sounds(model.config)
    config, images = model.config, dict[str, Tensor]()
    generator = torch.Generator().manual_seed(0)
    if model.main_input_name == "pixel_values":
        return {"pixel_values": _images(getattr(config, "vision_config", config), generator)}
    if hasattr(config, "vision_config"):
        images = {"pixel_values": _images(config.vision_config, generator)}
        config = config.text_config
    end = getattr(config, "eos_token_id", None)  # RoCBert's has none in transformers 5.18
    end = end if isinstance(end, int) else None
    ids = torch.randint(_FIRST, config.vocab_size, (_ROWS, _LENGTH), generator=generator)
    if end is not None:
        ids[ids == end] = _FIRST if end != _FIRST else _FIRST + 1
    mask = torch.ones_like(ids)
    for row in range(_ROWS):
        length = _LENGTH - row
        mask[row, length:] = 0
        if end is not None:
            ids[row, length - 1] = end
    pad = config.pad_token_id if isinstance(config.pad_token_id, int) else 0
    batch = {"input_ids": ids.masked_fill(mask == 0, pad), "attention_mask": mask}
    if images:
        return {**batch, **images}
    if config.is_encoder_decoder and not head_prefixes(model):
        start = torch.full((_ROWS, 1), config.decoder_start_token_id or 0)
        rest = torch.randint(_FIRST, config.vocab_size, (_ROWS, 3), generator=generator)
        batch["decoder_input_ids"] = torch.cat([start, rest], dim=1)
    return batch


def _images(config: Any, generator: torch.Generator) -> Tensor:
    """Draw images (rows, channels, height, width) of the size that a model takes."""
    size = config.image_size
    height, width = (size, size) if isinstance(size, int) else size
    return torch.randn((_ROWS, config.num_channels, height, width), generator=generator)
