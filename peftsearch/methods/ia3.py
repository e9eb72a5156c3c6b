"""IA3: learned rescaling of keys, values and feed-forward activations.

k' = k * (1 + m * delta),  v' = v * (1 + m * delta),  down' (h) = down (h * (1 + m * delta))
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from peftsearch.methods.base import PeftLayer, SiteHost
from peftsearch.methods.linear_map import device_of

METHOD = {
    "name": "ia3",
    "title": "IA3",
    "order": 20,
    "modules": {
        "attention": ("k", "v"),
        "cross_attention": ("k", "v"),
        "feed_forward": ("down",),
    },
    "sized": False,
    "learning_rate": 2e-2,
    "identity_at_start": "",
    "reference": (
        "Liu et al. 2022, arXiv 2205.05638, section 3.3; stored as the difference from one, so "
        "that every method starts at zero"
    ),
}


class ScaleLayer(PeftLayer):
    """The rescaling of one vector; starts at no change.

    Args:
        width: Length of the vector.
        on_input: Rescale the host's input (feed-forward) instead of its output (keys, values).
        device: Where the parameters live.
    """

    def __init__(self, width: int, on_input: bool, device: torch.device) -> None:
        super().__init__()
        self.delta = nn.Parameter(torch.zeros(width, device=device))
        self.on_input = on_input

    def _scale(self, x: Tensor) -> Tensor:
        return (x * (1 + self.masked(self.delta))).to(x.dtype)

    def before(self, x: Tensor) -> Tensor:
        """Rescale the input (B, T, D_in) of a feed-forward's last map."""
        return self._scale(x) if self.on_input else x

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        """Rescale the output (B, T, D_out) of a key or value map."""
        return y if self.on_input else self._scale(y)


def build(host: SiteHost, modules: tuple[str, ...], size: int) -> dict[str, PeftLayer]:
    """Return one rescaling for each named module."""
    on_input = host.site.part == "feed_forward"
    layers: dict[str, PeftLayer] = {}
    for name in modules:
        linear = host.linear(name)
        width = linear.in_features if on_input else linear.out_features
        layers[name] = ScaleLayer(width, on_input, device_of(linear))
    return layers
