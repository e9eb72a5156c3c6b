"""How many tokens a model makes of an image: one for each patch, and those it adds."""

from __future__ import annotations

from typing import Any

from torch import nn

#: Stack of a model with two towers that reads texts.
TEXT = "text"


def sees(model: Any) -> bool:
    """Whether a model reads images."""
    return hasattr(model.config, "vision_config") or model.main_input_name == "pixel_values"


def patch_tokens(model: Any) -> int | None:
    """Return the tokens of an image; where layers differ, as in Swin, its patches."""
    base = getattr(model, str(model.base_model_prefix), model)
    tower: Any = getattr(model, "vision_model", base)
    embeddings = getattr(tower, "embeddings", None)
    if embeddings is None:
        return None
    if hasattr(tower.config, "window_size"):
        return int(embeddings.patch_embeddings.num_patches)
    if hasattr(embeddings, "num_positions"):
        return int(embeddings.num_positions)
    table = getattr(embeddings, "position_embeddings", None)
    return table.shape[1] if isinstance(table, nn.Parameter) else None
