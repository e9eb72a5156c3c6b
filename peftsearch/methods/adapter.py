"""Serial bottleneck adapter after a sub-layer.

    y' = y + U (m * relu(D y + d)) + u       D (size, D_out), U (D_out, size)

y is the output of the attention's or feed-forward's last linear map, before dropout and the
residual sum. U and u start at zero.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from peftsearch.methods.base import PeftLayer, SiteHost, add_product
from peftsearch.methods.linear_map import device_of

METHOD = {
    "name": "adapter",
    "title": "serial adapter",
    "order": 40,
    "modules": {"attention": ("o",), "cross_attention": ("o",), "feed_forward": ("down",)},
    "sized": True,
    "learning_rate": 2e-3,
    "identity_at_start": "",
    "reference": (
        "Houlsby et al. 2019, arXiv 1902.00751, section 2; the up projection starts at zero, "
        "the activation is ReLU, there is no norm of its own (Pfeiffer et al. 2021)"
    ),
}


class AdapterLayer(PeftLayer):
    """A serial adapter on the output of one linear map."""

    size_dims: ClassVar[dict[str, int]] = {"down": 0, "down_bias": 0, "up": 1}

    def __init__(self, width: int, size: int, device: torch.device) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(size, width, device=device))
        self.down_bias = nn.Parameter(torch.zeros(size, device=device))
        self.up = nn.Parameter(torch.zeros(width, size, device=device))
        self.up_bias = nn.Parameter(torch.zeros(width, device=device))
        nn.init.normal_(self.down, std=width**-0.5)

    def add_bottleneck(self, x: Tensor, y: Tensor) -> Tensor:
        """Return y (B, T, D) plus the bottleneck of x.

        The bias of the up projection is the weight of one more unit that is always one, so
        that a single product adds both. It belongs to every size: its unit is on as soon as
        the first one is.
        """
        hidden = torch.relu(functional.linear(x.to(self.down.dtype), self.down, self.down_bias))
        hidden = self.masked(hidden)
        one = hidden.new_ones(*hidden.shape[:-1], 1)
        if self.mask is not None:
            one = one * self.mask[..., :1].to(hidden.dtype)
        up = torch.cat([self.up, self.up_bias.unsqueeze(1)], dim=1)
        return add_product(y, torch.cat([hidden, one], dim=-1), up)

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        """Add the adapter of the output to the output."""
        return self.add_bottleneck(y, y)


def build(host: SiteHost, modules: tuple[str, ...], size: int) -> dict[str, PeftLayer]:
    """Return one adapter for each named module."""
    linears = {name: host.linear(name) for name in modules}
    return {
        name: AdapterLayer(linear.out_features, size, device_of(linear))
        for name, linear in linears.items()
    }
