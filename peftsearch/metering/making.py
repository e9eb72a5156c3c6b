"""The limits of a configuration on one backbone: resources, and meters that count them."""

from __future__ import annotations

from peftsearch.backbones.base import Backbone
from peftsearch.config import LimitsConfig
from peftsearch.limits import Limits, parse_bytes
from peftsearch.metering import size
from peftsearch.resources import Meter, Resource
from peftsearch.site import Site


def _one(site: Site, method: str, modules: tuple[str, ...], size: int) -> float:
    """Count insertions."""
    return 1.0


def make_limits(config: LimitsConfig, backbone: Backbone) -> Limits:
    """Return what a run is limited to beside the parameters.

    Args:
        config: The limits as typed.
        backbone: The backbone; its weights are not read.
    """
    resources: list[Resource] = []
    meters: dict[str, Meter] = {}
    if config.bytes is not None:
        most = parse_bytes(config.bytes)
        resources.append(Resource("bytes", "bytes", config.bytes, most, fixed=size.FIXED))
        meters["bytes"] = size.meter(backbone.hosts, most)
    if config.modules_per_layer is not None:
        number = config.modules_per_layer
        name, unit = "modules_per_layer", "modules in a layer"
        resources.append(Resource(name, unit, str(number), number, per_layer=True))
        meters[name] = _one
    return Limits(tuple(resources), meters, {site.id: site for site in backbone.sites})
