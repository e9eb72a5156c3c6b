"""Honest baselines at the same budget: one method everywhere, and random fill. Torch-free.

A uniform baseline takes the method's usual modules at every site it can attach to and the
largest size that fits. Where even the smallest size does not fit everywhere, it is kept to the
parts of the layers that do: most parts first, then the most parameters. It keeps to whatever else
is limited as well.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from peftsearch.architecture import NONE, Choice
from peftsearch.catalogue import method_facts
from peftsearch.limits import Allows
from peftsearch.resources import layer_of
from peftsearch.site import Site
from peftsearch.space import Candidate, Cost, Gate, MethodFacts, SearchSpace

#: The methods that run as uniform baselines, by baseline name.
UNIFORM = {
    "uniform-lora": "lora",
    "uniform-adapter": "adapter",
    "uniform-prefix": "prefix",
    "uniform-bitfit": "bitfit",
    "uniform-ia3": "ia3",
    "uniform-layernorm": "layernorm",
}
_LARGEST = 4096


def inside(
    named: Mapping[str, tuple[Choice, ...]], methods: Collection[str]
) -> dict[str, tuple[Choice, ...]]:
    """Return those whose methods are all among ``methods``."""
    allowed = {NONE, *methods}
    return {name: found for name, found in named.items() if {c.method for c in found} <= allowed}


def uniform(
    method: MethodFacts,
    sites: Sequence[Site],
    cost: Cost,
    limit: int,
    allows: Allows | None = None,
) -> tuple[Choice, ...] | None:
    """Return the uniform architecture of a method, one choice per site; ``None`` if none fits.

    Where more than parameters is limited and nothing fits, the lowest layers go without it, as few
    of them as possible: what is above them needs a shorter backward pass, and less of everything.
    """
    found = _everywhere(method, sites, cost, limit, allows)
    layers = list(dict.fromkeys(layer_of(site) for site in sites))
    while found is None and allows is not None and len(layers) > 1:
        del layers[0]
        upper = [site for site in sites if layer_of(site) in layers]
        found = _everywhere(method, upper, cost, limit, allows)
    return None if found is None else complete([c for c in found if c.method != NONE], sites)


def _everywhere(
    method: MethodFacts, sites: Sequence[Site], cost: Cost, limit: int, allows: Allows | None
) -> tuple[Choice, ...] | None:
    parts = [
        part
        for part in method.modules
        if any(site.part == part and method.modules_at(site) for site in sites)
    ]
    for count in range(len(parts), 0, -1):
        found = []
        for chosen in itertools.combinations(parts, count):
            size = _largest_size(method, chosen, sites, cost, limit, allows)
            if size:
                choices = _spread(method, chosen, sites, cost, size)
                found.append((sum(c.num_params for c in choices), choices))
        if found:
            return max(found, key=lambda pair: pair[0])[1]
    return None


def _largest_size(
    method: MethodFacts,
    parts: Sequence[str],
    sites: Sequence[Site],
    cost: Cost,
    limit: int,
    allows: Allows | None,
) -> int:
    """Return the largest size that fits; 0 if none does. All costs grow with the size."""

    def fits(size: int) -> bool:
        choices = _spread(method, parts, sites, cost, size)
        within = sum(c.num_params for c in choices) <= limit
        return within and (allows is None or allows(choices))

    if not fits(1):
        return 0
    low, high = 1, 2
    if not method.sized:
        return 1
    while high <= _LARGEST and fits(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _spread(
    method: MethodFacts, parts: Sequence[str], sites: Sequence[Site], cost: Cost, size: int
) -> tuple[Choice, ...]:
    choices = []
    for site in sites:
        modules = method.modules_at(site)
        if site.part in parts and modules:
            count = cost(site, method.name, modules, size)
            choices.append(Choice(site.id, method.name, size, modules, count))
        else:
            choices.append(Choice(site.id))
    return tuple(choices)


def uniform_baselines(
    sites: Sequence[Site], cost: Cost, limit: int, allows: Allows | None = None
) -> dict[str, tuple[Choice, ...]]:
    """Return every uniform baseline that fits, by name."""
    facts = method_facts()
    found = {name: uniform(facts[m], sites, cost, limit, allows) for name, m in UNIFORM.items()}
    return {name: choices for name, choices in found.items() if choices is not None}


def uniform_in(space: SearchSpace, method: str, limit: int) -> list[int] | None:
    """Return the uniform architecture of a method among a space's own candidates.

    Every gate that has the method takes its largest candidate up to a common size, the largest
    that fits; where not even the smallest fits everywhere, the last gates go without.

    Returns:
        One candidate index per gate; ``None`` if the method fits nowhere.
    """
    sizes = sorted({c.size for _, c in space.choices() if c.method == method}, reverse=True)
    for size in sizes:
        chosen = [_largest_up_to(gate, method, size) for gate in space.gates]
        pairs = zip(space.gates, chosen, strict=True)
        used = sum(gate.candidates[i].num_params for gate, i in pairs)
        if used <= limit and space.allows(chosen):
            return chosen if any(chosen) else None
    left = limit
    chosen = [0] * len(space.gates)
    for g, gate in enumerate(space.gates):
        smallest = _largest_up_to(gate, method, sizes[-1]) if sizes else 0
        within = 0 < gate.candidates[smallest].num_params <= left
        if within and space.allows(chosen, g, smallest):
            chosen[g] = smallest
            left -= gate.candidates[smallest].num_params
    return chosen if any(chosen) else None


def _largest_up_to(gate: Gate, method: str, size: int) -> int:
    fitting = [i for i, c in enumerate(gate.candidates) if c.method == method and c.size <= size]
    return max(fitting, key=lambda i: gate.candidates[i].size, default=0)


def random_fill(space: SearchSpace, limit: int, seed: int) -> list[int]:
    """Fill the budget at random: gates in random order, each a random candidate that still fits.

    Returns:
        One candidate index per gate, ``none`` only where nothing fits.
    """
    rng = np.random.default_rng(seed)
    left, chosen = limit, [0] * len(space.gates)
    for g in rng.permutation(len(space.gates)):
        fitting = [i for i, c in enumerate(space.gates[g].candidates) if 0 < c.num_params <= left]
        fitting = [i for i in fitting if space.allows(chosen, g, i)]
        if fitting:
            chosen[g] = fitting[rng.integers(len(fitting))]
            left -= space.gates[g].candidates[chosen[g]].num_params
    return chosen


def trimmed(
    space: SearchSpace, candidates: Sequence[int], limit: int, order: Sequence[int]
) -> list[int]:
    """Return an assignment without the choices that no longer fit, those of the last gates first.

    Args:
        space: Gates and costs.
        candidates: One candidate index per gate.
        limit: The budget in parameters.
        order: Indices of the gates; what comes first stays rather.
    """
    left, chosen = limit, [0] * len(space.gates)
    for g in order:
        cost = space.gates[g].candidates[candidates[g]].num_params
        if cost <= left and space.allows(chosen, g, candidates[g]):
            chosen[g] = candidates[g]
            left -= cost
    return chosen


def to_choices(space: SearchSpace, candidates: Sequence[int]) -> tuple[Choice, ...]:
    """Return the choices for one candidate index per gate, in the order of the gates.

    With several gates at a site, the empty ones are left out unless all are.
    """
    chosen = [
        (gate.site.id, gate.candidates[index])
        for gate, index in zip(space.gates, candidates, strict=True)
    ]
    busy = {site for site, candidate in chosen if candidate.method != NONE}
    kept = [pair for pair in chosen if pair[1].method != NONE or pair[0] not in busy]
    return tuple(_choice(site, candidate) for site, candidate in dict.fromkeys(kept))


def _choice(site: str, candidate: Candidate) -> Choice:
    return Choice(site, candidate.method, candidate.size, candidate.modules, candidate.num_params)


def complete(choices: Sequence[Choice], sites: Sequence[Site]) -> tuple[Choice, ...]:
    """Order choices by site and list sites without any as ``none``."""
    by_site: dict[str, list[Choice]] = {}
    for choice in choices:
        by_site.setdefault(choice.site, []).append(choice)
    return tuple(c for site in sites for c in by_site.get(site.id, [Choice(site.id)]))
