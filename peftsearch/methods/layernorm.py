"""LayerNorm tuning: the norm's own weight, and bias where it has one, are trained.

y' = y + m * (dw * n(x) + db)       n(x) the normed input before weight and bias
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from peftsearch.methods.base import PeftLayer, SiteHost
from peftsearch.methods.norms import epsilon

METHOD = {
    "name": "layernorm",
    "title": "LayerNorm",
    "order": 5,
    "modules": {
        "norm": (
            "attention",
            "q_norm",
            "k_norm",
            "attention_out",
            "cross_attention",
            "feed_forward",
            "feed_forward_out",
            "merging",
        ),
    },
    "sized": False,
    "learning_rate": 5e-3,
    "identity_at_start": "",
    "reference": (
        "Zhao et al. 2024, arXiv 2312.11420; Qi et al. 2022 (LN-tuning), arXiv 2211.08682; "
        "stored as the difference from the frozen weight and bias"
    ),
}


class NormLayer(PeftLayer):
    """The trained difference of one norm's weight and bias; starts at zero.

    Works on ``nn.LayerNorm`` and DeBERTa's norm (mean and variance), and on the norms of T5, Llama
    and their kin (root mean square, no bias).
    """

    size_dims: ClassVar[dict[str, int]] = {}

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        weight = norm.get_parameter("weight")
        self.centred = isinstance(norm, nn.LayerNorm) or hasattr(norm, "bias")
        self.eps = epsilon(norm)
        self.weight = nn.Parameter(torch.zeros(weight.shape, device=weight.device))
        if getattr(norm, "bias", None) is not None:
            self.bias = nn.Parameter(torch.zeros(weight.shape, device=weight.device))
        else:
            self.register_parameter("bias", None)

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        """Add the difference to the normed output (B, T, D)."""
        x = x.to(self.weight.dtype)
        if self.centred:
            normed = functional.layer_norm(x, self.weight.shape, eps=self.eps)
        else:
            normed = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)
        update = self.masked(self.weight) * normed
        if self.bias is not None:
            update = update + self.masked(self.bias)
        return y + update.to(y.dtype)


def build(host: SiteHost, modules: tuple[str, ...], size: int) -> dict[str, PeftLayer]:
    """Return one layer for each named norm."""
    return {name: NormLayer(host.modules[name]) for name in modules}
