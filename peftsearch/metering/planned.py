"""Limits in a plan: what can be said of each before anything is trained or timed."""

from __future__ import annotations

from typing import Any

from peftsearch.architecture import Choice
from peftsearch.backbones.base import Backbone
from peftsearch.config import RunConfig
from peftsearch.freezing import Frozen
from peftsearch.limits import Limits
from peftsearch.metering import flops
from peftsearch.metering.making import make_limits
from peftsearch.space import Cost, SearchSpace


def planned_limits(
    config: RunConfig, backbone: Backbone, cost: Cost, tokens: int, kept: Frozen
) -> Limits:
    """Return the limits at the longest input; latency, which nobody has measured, is not there.

    Args:
        config: The configuration.
        backbone: The backbone; its weights are not read.
        cost: Counts the parameters of a candidate.
        tokens: The longest input.
        kept: What is decided before the search.

    Raises:
        BudgetError: What is kept exceeds a limit by itself.
    """
    limits = make_limits(config, backbone, cost, flops.longest(backbone, tokens))
    limits.require(kept.choices, f"What {kept.source} keeps")
    return limits


def training_flops(limits: Limits, backbone: Backbone) -> dict[str, float]:
    """Return the FLOPs of a training at the longest input: of nothing, and of LoRA everywhere.

    Empty where they are not counted, see :func:`peftsearch.metering.flops.mean_tokens`.
    """
    if all(resource.name != flops.NAME for resource in limits.resources):
        return {}
    everywhere = flops.lora_everywhere(backbone.sites)
    (counted,) = (r for r in limits.resources if r.name == flops.NAME)
    return {
        "forward": counted.fixed,
        "backward_of_backbone": flops.backward(counted, everywhere, limits.sites),
        "lora_everywhere": limits.used(counted, everywhere),
    }


def each_limit(limits: Limits, kept: Frozen, space: SearchSpace) -> list[dict[str, Any]]:
    """Return each limit, and the least and the most that anything of the space spends of it."""
    found = []
    for resource in limits.resources:
        if not resource.binding:
            continue
        fixed = limits.items(resource, kept.choices)
        alone, largest = [], []
        for gate in space.gates:
            costs = [
                limits.items(resource, [Choice(gate.site.id, c.method, c.size, c.modules)])
                for c in gate.candidates[1:]
            ]
            alone += [resource.used((*fixed, *cost)) for cost in costs]
            largest.append(max(costs, key=lambda items: items[0][1])[0])
        least, most = min(alone), resource.used((*fixed, *largest))
        found.append(
            {
                "name": resource.name,
                "unit": resource.unit,
                "requested": resource.requested,
                "limit": resource.limit,
                "cheapest": least,
                "largest": most,
                "binds": most > resource.limit,
                "text": f"{resource.option} {resource.shown(resource.limit)}: cheapest non-empty "
                f"{resource.shown(least)} · largest {resource.shown(most)}",
            }
        )
    return found
