"""A frozen linear map as methods see it, whichever way its weight is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D


class LinearMap(Protocol):
    """``y = x W^T + b``, with the names of ``nn.Linear``."""

    @property
    def in_features(self) -> int:
        """Width of the input."""

    @property
    def out_features(self) -> int:
        """Width of the output."""

    @property
    def weight(self) -> Tensor:
        """W (D_out, D_in)."""

    @property
    def bias(self) -> Tensor | None:
        """The bias (D_out), if there is one."""


@dataclass(frozen=True)
class Transposed:
    """GPT-2's map, which stores its weight as (D_in, D_out)."""

    module: Conv1D

    @property
    def in_features(self) -> int:
        """Width of the input."""
        return int(self.module.nx)

    @property
    def out_features(self) -> int:
        """Width of the output."""
        return int(self.module.nf)

    @property
    def weight(self) -> Tensor:
        """W (D_out, D_in), a view."""
        return self.module.weight.t()

    @property
    def bias(self) -> Tensor | None:
        """The bias (D_out)."""
        return self.module.bias


@dataclass(frozen=True)
class Quantised:
    """bitsandbytes' map, whose weight is bytes; here it is computed back whenever it is read."""

    module: Any

    @property
    def in_features(self) -> int:
        """Width of the input."""
        return int(self.module.in_features)

    @property
    def out_features(self) -> int:
        """Width of the output."""
        return int(self.module.out_features)

    @property
    def weight(self) -> Tensor:
        """W (D_out, D_in) as the map multiplies with it, up to rounding."""
        from transformers.integrations.bitsandbytes import dequantize_bnb_weight

        found: Tensor = dequantize_bnb_weight(
            self.module.weight, getattr(self.module, "state", None)
        )
        return found

    @property
    def bias(self) -> Tensor | None:
        """The bias (D_out), if there is one."""
        bias: Tensor | None = self.module.bias
        return bias


def device_of(linear: LinearMap) -> torch.device:
    """Return where a map lives; its weight is not computed for that."""
    held: Any = linear.module if isinstance(linear, Quantised) else linear
    device: torch.device = held.weight.device
    return device


def number_of_weights(parameter: Tensor) -> int:
    """Return how many weights a parameter stands for: in 4 bits a byte holds two of them."""
    state: Any = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else int(state.shape.numel())


def linear_map(module: nn.Module) -> LinearMap | None:
    """Return a module as a linear map; ``None`` if it is none."""
    if isinstance(module, nn.Linear):
        return Quantised(module) if is_quantised(module.weight) else module
    return Transposed(module) if isinstance(module, Conv1D) else None


def is_quantised(weight: Tensor) -> bool:
    """Whether a weight is bytes in the place of numbers."""
    return type(weight).__name__ in ("Params4bit", "Int8Params") and not weight.is_floating_point()
