"""Gradient checkpointing: a layer keeps its input only, and is run again in the backward pass.

It is transformers' own. What is inserted stands inside the layers, so it is run again with them,
with the same masks and, since PyTorch gives the random numbers back, the same dropout. It acts in
training mode alone: scoring and generation keep their cache.
"""

from __future__ import annotations

from typing import Any

from peftsearch.errors import ConfigError


def require_checkpointing(model: Any) -> None:
    """Refuse a model whose layers cannot be run again.

    Raises:
        ConfigError: transformers has no checkpointing for its type.
    """
    if not model.supports_gradient_checkpointing:
        raise ConfigError(
            f'gradient_checkpointing: models of type "{model.config.model_type}" have none in '
            "transformers.",
            "Leave it out, and take --set accumulation=4 to save memory.",
        )


def checkpoint_layers(model: Any) -> None:
    """Let a model's layers keep their inputs only.

    Not reentrant: the frozen embeddings give inputs without gradients, with which the reentrant
    form trains nothing, and ``torch.autograd.grad``, which the gates need, would not go through.

    Raises:
        ConfigError: It has no checkpointing.
    """
    require_checkpointing(model)
    # Called so since transformers 5.23; the older name is going.
    newer = getattr(model, "activation_checkpointing_enable", None)
    (newer or model.gradient_checkpointing_enable)({"use_reentrant": False})
