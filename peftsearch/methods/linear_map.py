"""A frozen linear map as methods see it, whichever way its weight is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

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


def linear_map(module: nn.Module) -> LinearMap | None:
    """Return a module as a linear map; ``None`` if it is none."""
    if isinstance(module, nn.Linear):
        return module
    return Transposed(module) if isinstance(module, Conv1D) else None
