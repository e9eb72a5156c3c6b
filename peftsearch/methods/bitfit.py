"""BitFit: a trained shift of each module's output.

    y' = y + m * delta

Where the backbone has a bias, ``bias + delta`` is the trained bias; where it has none (T5), a
bias vector is added. Both train as many parameters as the bias has entries.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from peftsearch.methods.base import PeftLayer, SiteHost
from peftsearch.methods.linear_map import device_of

METHOD = {
    "name": "bitfit",
    "title": "biases",
    "order": 30,
    "modules": {
        "attention": ("q", "k", "v", "o"),
        "cross_attention": ("q", "k", "v", "o"),
        "feed_forward": ("up", "gate", "down"),
        "norm": (
            "attention",
            "attention_out",
            "cross_attention",
            "feed_forward",
            "feed_forward_out",
        ),
    },
    "sized": False,
    "learning_rate": 5e-3,
    "identity_at_start": "",
    "reference": (
        "Ben Zaken et al. 2022, arXiv 2106.10199; stored as a difference from the frozen bias, "
        "and added where the backbone has none"
    ),
}


class BiasLayer(PeftLayer):
    """The shift of one module; starts at zero."""

    def __init__(self, width: int, device: torch.device) -> None:
        super().__init__()
        self.delta = nn.Parameter(torch.zeros(width, device=device))

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        """Add the shift to the output (B, T, D_out)."""
        return y + self.masked(self.delta).to(y.dtype)


def build(host: SiteHost, modules: tuple[str, ...], size: int) -> dict[str, PeftLayer]:
    """Return one shift for each named module."""
    found: dict[str, PeftLayer] = {}
    for name in modules:
        if host.site.part == "norm":
            weight = host.modules[name].get_parameter("weight")
            found[name] = BiasLayer(len(weight), weight.device)
        else:
            linear = host.linear(name)
            found[name] = BiasLayer(linear.out_features, device_of(linear))
    return found
