"""A backbone whose frozen linear maps are kept in 8 or 4 bits, by bitsandbytes.

What is inserted beside such a map stays in float32 and sees its output, as with any other map.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D


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
        if f"{name}.".startswith(heads or ("\0",)) or id(module.weight) in embedded:
            continue
        if not set(name.split(".")) & set(full):
            yield name, module


def settings(
    load_in: str, dtype: torch.dtype, device: torch.device, kept: list[str]
) -> dict[str, Any]:
    """Return what ``from_pretrained`` is told besides.

    Args:
        load_in: ``8bit``, or ``4bit`` (NF4).
        dtype: Type of what the maps return.
        device: Where the model is loaded to; it cannot be moved later.
        kept: Names of the linear maps that stay as they are.
    """
    from transformers import BitsAndBytesConfig

    # It says at every product that 8 bits are multiplied in float16, which is known.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    config = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_8bit=load_in == "8bit",
        load_in_4bit=load_in == "4bit",
        llm_int8_skip_modules=kept,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": config, "device_map": {"": str(device)}}


def others(model: Any, heads: tuple[str, ...]) -> list[str]:
    """Return the names of the linear maps that are not quantised, those of the heads among them."""
    chosen = {name for name, _ in quantisable(model, heads)}
    maps = (n for n, m in model.named_modules() if isinstance(m, nn.Linear | Conv1D))
    return [name for name in maps if name not in chosen]
