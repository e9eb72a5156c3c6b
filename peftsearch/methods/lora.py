"""LoRA: a low-rank update of a linear map.

y = W x + s * B (m * A x)        A (R, D_in), B (D_out, R), m the mask of the ranks
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from peftsearch.methods.base import PeftLayer, SiteHost, add_product
from peftsearch.methods.linear_map import LinearMap, device_of

METHOD = {
    "name": "lora",
    "title": "LoRA",
    "order": 10,
    "modules": {
        "attention": ("q", "v"),
        "cross_attention": ("q", "v"),
        "feed_forward": ("up", "gate", "down"),
    },
    "sized": True,
    "learning_rate": 2e-3,
    "identity_at_start": "",
    "reference": (
        "Hu et al. 2021, arXiv 2106.09685, eq. 3; the scale is one constant for every rank, "
        "not alpha/r, so that the chosen size does not change the function (PEFT: lora_alpha = "
        "scale * r)"
    ),
}
#: The scale s, for every rank.
SCALE = 2.0


class LoRALayer(PeftLayer):
    """The update of one linear map; B starts at zero, A as in the original code."""

    size_dims: ClassVar[dict[str, int]] = {"A": 0, "B": 1}

    def __init__(self, linear: LinearMap, rank: int) -> None:
        super().__init__()
        device = device_of(linear)
        self.A = nn.Parameter(torch.empty(rank, linear.in_features, device=device))
        self.B = nn.Parameter(torch.zeros(linear.out_features, rank, device=device))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        """Add the update to the output (B, T, D_out)."""
        hidden = self.masked(functional.linear(x.to(self.A.dtype), self.A))  # (B, T, R)
        return add_product(y, hidden, self.B, SCALE)


def build(host: SiteHost, modules: tuple[str, ...], size: int) -> dict[str, PeftLayer]:
    """Return one layer for each named linear map."""
    return {name: LoRALayer(host.linear(name), size) for name in modules}
