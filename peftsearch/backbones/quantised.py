"""Frozen linear maps in 8 or 4 bits: which they are, and how many weights they hold.

bitsandbytes keeps a quantised weight as a tensor of bytes, two weights to a byte in 4 bits, so that
neither its shape nor its size is that of the map. Whoever wants to know asks here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D


def number_of_weights(parameter: nn.Parameter) -> int:
    """Return how many weights a parameter stands for."""
    state: Any = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else int(state.shape.numel())


def quantisable(model: Any, heads: tuple[str, ...]) -> Iterator[tuple[str, nn.Module]]:
    """Yield name and module of each linear map that is kept in fewer bits when that is asked for.

    The map to the vocabulary stays as it is, and so do heads, maps that share their weight with an
    embedding, and those that the model's authors keep in full.

    Args:
        model: A transformers model.
        heads: Prefixes of the modules of a task head.
    """
    output = model.get_output_embeddings()
    embedded = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    full = tuple(getattr(model, "_keep_in_fp32_modules", None) or ())
    for name, module in model.named_modules():
        if not isinstance(module, nn.Linear | Conv1D) or module is output:
            continue
        if name.startswith(heads or ("\0",)) or id(module.weight) in embedded:
            continue
        if not set(name.split(".")) & set(full):
            yield name, module
