"""An architecture of another task or model, on the sites of this one. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from peftsearch.architecture import Architecture, Choice
from peftsearch.catalogue import method_facts
from peftsearch.errors import ConfigError
from peftsearch.site import Site
from peftsearch.space import Cost


def carried(
    architecture: Architecture, sites: Sequence[Site], cost: Cost, where: str
) -> tuple[Choice, ...]:
    """Return the choices that insert something, at what they cost here.

    Args:
        architecture: Where, what and how large; its own costs do not count.
        sites: Sites of the backbone.
        cost: Counts a candidate at one of them.
        where: What the architecture is called in messages.

    Raises:
        ConfigError: The backbone lacks sites or modules, all of which are named, or nothing is
            chosen.
    """
    known, methods = {site.id: site for site in sites}, method_facts()
    choices, missing = [], []
    for choice in architecture.active:
        site = known.get(choice.site)
        if choice.method not in methods:
            missing.append(f"{choice.site}: no method {choice.method}")
        elif site is None or not set(choice.modules) <= set(site.modules):
            lacking = "no such site" if site is None else f"no {', '.join(choice.modules)} there"
            missing.append(f"{choice.site}: {lacking}")
        else:
            count = cost(site, choice.method, choice.modules, choice.size)
            choices.append(replace(choice, num_params=count))
    if missing:
        lines = "\n".join(f"  {line}" for line in missing)
        message = f"{where} does not fit this model:\n{lines}"
        raise ConfigError(message, "Take a model of the same shape, or search anew.")
    if not choices:
        raise ConfigError(f"{where} trains nothing.", "Give one with a choice at some site.")
    return tuple(choices)
