"""Parallel bottleneck adapter beside a feed-forward.

    y' = y + U (m * relu(D x + d)) + u

x is the input of the feed-forward's first linear map (after the norm in pre-norm models), y
the output of its last one.
"""

from __future__ import annotations

from torch import Tensor

from peftsearch.methods.adapter import AdapterLayer
from peftsearch.methods.base import PeftLayer, SiteHost
from peftsearch.methods.linear_map import device_of

METHOD = {
    "name": "parallel_adapter",
    "title": "parallel adapter",
    "order": 50,
    "modules": {"feed_forward": ("up", "down")},
    "sized": True,
    "learning_rate": 2e-3,
    "identity_at_start": "",
    "reference": (
        "He et al. 2022, arXiv 2110.04366, section 3.2; the scale is 1 and the input is the one "
        "of the feed-forward itself, normed in pre-norm models"
    ),
}


class ParallelAdapterLayer(AdapterLayer):
    """Adds the bottleneck of the feed-forward's input, which :class:`InputTap` hands over."""

    tapped: Tensor | None = None

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        """Add the adapter of the tapped input to the output, and let the input go."""
        assert self.tapped is not None
        x, self.tapped = self.tapped, None
        return self.add_bottleneck(x.reshape(y.shape), y)


class InputTap(PeftLayer):
    """Hands the input of the feed-forward to the adapter at its end; holds no parameters."""

    def __init__(self, target: ParallelAdapterLayer) -> None:
        super().__init__()
        self._target = (target,)  # in a tuple: the target is registered on its own host only

    def before(self, x: Tensor) -> Tensor:
        """Remember the input if the adapter is on."""
        if self._target[0].active:
            self._target[0].tapped = x
        return x


def build(host: SiteHost, modules: tuple[str, ...], size: int) -> dict[str, PeftLayer]:
    """Return the adapter on the last linear map and the tap on the first."""
    first, last = host.linear("up"), host.linear("down")
    adapter = ParallelAdapterLayer(last.out_features, size, device_of(first))
    if first.in_features != last.out_features:
        raise ValueError(f"{host.site.id}: a feed-forward that changes the width")
    return {"up": InputTap(adapter), "down": adapter}
