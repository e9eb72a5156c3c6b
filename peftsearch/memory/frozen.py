"""Bytes of a frozen backbone by how its weights are stored, from shapes alone."""

from __future__ import annotations

from typing import Any

from torch import nn

from peftsearch.backbones.base import head_parameters, head_prefixes
from peftsearch.backbones.quantised import quantisable

#: Bytes of a scale: in 8 bits each output has one, in 4 bits each block of so many weights.
_SCALE, _BLOCK = 4, 64


def frozen_bytes(model: nn.Module, precision: str, load_in: str | None = None) -> int:
    """Return the bytes of the frozen parameters, tied tensors once, without a head.

    Args:
        model: The model, on any device, not quantised yet.
        precision: ``fp32`` or ``bf16``.
        load_in: ``8bit`` or ``4bit`` for the linear maps; ``None``: in the precision as well.
    """
    width = 2 if precision == "bf16" else 4
    head = {id(parameter) for _, parameter in head_parameters(model)}
    less: dict[int, Any] = {}
    if load_in is not None:
        less = {id(m.weight): m for _, m in quantisable(model, head_prefixes(model))}
    total = 0
    for parameter in model.parameters():
        if id(parameter) in less:
            total += _quantised(parameter, less[id(parameter)], load_in)
        elif id(parameter) not in head:
            total += parameter.numel() * width
    return total


def _quantised(weight: nn.Parameter, module: Any, load_in: str | None) -> int:
    if load_in == "8bit":
        outputs = module.out_features if hasattr(module, "out_features") else module.nf
        return weight.numel() + int(outputs) * _SCALE
    return -(-weight.numel() // 2) + -(-weight.numel() // _BLOCK) * _SCALE
