"""The limits of a run on one backbone: resources, and meters that count them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from peftsearch.architecture import Choice
from peftsearch.backbones.base import Backbone
from peftsearch.baselines import UNIFORM
from peftsearch.catalogue import method_facts
from peftsearch.config import RunConfig
from peftsearch.errors import ConfigError
from peftsearch.limits import Limits, parse_bytes, parse_flops, parse_latency
from peftsearch.metering import flops, latency, size
from peftsearch.resources import Meter, Resource
from peftsearch.site import Site
from peftsearch.space import Cost, SearchSpace

#: Sizes of the methods that run as uniform baselines, where the space has none of theirs.
_SIZES = (1, 64)


def make_limits(
    config: RunConfig,
    backbone: Backbone,
    cost: Cost,
    tokens: flops.Tokens | None = None,
    timings: latency.Timings | None = None,
) -> Limits:
    """Return what a run is limited to beside the parameters.

    The FLOPs of a training are counted also where they are not limited.

    Args:
        config: The configuration.
        backbone: The backbone; its weights are not read.
        cost: Counts the parameters of a candidate.
        tokens: Mean tokens of a row by stack; ``None`` where they are not counted.
        timings: What was measured on this machine; without it, latency is not limited.

    Raises:
        ConfigError: FLOPs are limited, and cannot be counted.
    """
    wanted = config.limits
    found: list[tuple[Resource, Meter]] = []
    if wanted.bytes is not None:
        most = parse_bytes(wanted.bytes)
        row = Resource("bytes", "bytes", wanted.bytes, most, fixed=size.FIXED)
        found.append((row, size.meter(backbone.hosts, most)))
    if wanted.modules_per_layer is not None:
        number = wanted.modules_per_layer
        name, unit = "modules_per_layer", "in a layer"
        found.append((Resource(name, unit, str(number), number, per_layer=True), _one))
    if wanted.latency is not None and timings is not None:
        share = parse_latency(wanted.latency)
        found.append((Resource(latency.NAME, "%", wanted.latency, share), timings.meter()))
    if tokens is not None:
        found.append(_training(config, backbone, cost, tokens))
    elif wanted.train_flops is not None:
        raise ConfigError(
            "limits.train_flops: what this model makes of a row is not counted.", "Leave it out."
        )
    meters = {row.name: meter for row, meter in found}
    sites = {site.id: site for site in backbone.sites}
    return Limits(tuple(row for row, _ in found), meters, sites)


def _one(site: Site, method: str, modules: tuple[str, ...], size: int) -> float:
    """Count insertions."""
    return 1.0


def _training(
    config: RunConfig, backbone: Backbone, cost: Cost, tokens: flops.Tokens
) -> tuple[Resource, Meter]:
    rows = config.retrain.steps * config.retrain.batch_size
    meter = flops.meter(cost, tokens, rows)
    counted = flops.resource(backbone, tokens, rows, math.inf, "")
    if config.limits.train_flops is None:
        return counted, meter
    number, is_share = parse_flops(config.limits.train_flops)
    if is_share:
        sites = {site.id: site for site in backbone.sites}
        alone = Limits((counted,), {flops.NAME: meter}, sites)
        number *= alone.used(counted, flops.lora_everywhere(backbone.sites))
    return flops.resource(backbone, tokens, rows, number, config.limits.train_flops), meter


def timed_choices(
    space: SearchSpace, sites: Sequence[Site], more: Sequence[Choice] = ()
) -> Iterator[Choice]:
    """Yield whatever a run may insert: candidates, uniform baselines, and what is given."""
    yield from more
    for gate, c in space.choices():
        yield Choice(gate.site.id, c.method, c.size, c.modules)
    facts = method_facts()
    for method in UNIFORM.values():
        for site in sites:
            usual = facts[method].modules.get(site.part, ())
            modules = tuple(name for name in usual if name in site.modules)
            for number in _SIZES if facts[method].sized and modules else (1,) * bool(modules):
                yield Choice(site.id, method, number, modules)
