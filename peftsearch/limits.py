"""What a run is limited to beside the parameters: from what the user typed to rows of a space.

Place in the flow: configuration -> **limits** -> space, baselines, whatever is given. Everything
that is raced or retrained is asked here whether it keeps to every limit. Torch-free: what things
cost comes in through meters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from peftsearch.architecture import NONE, Choice
from peftsearch.errors import BudgetError, ConfigError
from peftsearch.resources import Item, Meter, Resource, layer_of
from peftsearch.site import Site
from peftsearch.space import Candidate, Gate, SearchSpace

_BYTES = {"": 1, "B": 1, "k": 10**3, "kB": 10**3, "KB": 10**3, "KiB": 2**10,
          "M": 10**6, "MB": 10**6, "MiB": 2**20, "G": 10**9, "GB": 10**9, "GiB": 2**30}  # fmt: skip
_NUMBER = r"(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)"


def size_in_bytes(text: str) -> int | None:
    """Read a number of bytes, >= 1, e.g. ``200k``, ``2MB``, ``1.5 MiB``; ``None`` if it is none."""
    match = re.fullmatch(rf"{_NUMBER}\s*([A-Za-z]*)", text.strip())
    if match is None or match[2] not in _BYTES:
        return None
    return int(float(match[1]) * _BYTES[match[2]]) or None


def parse_bytes(text: str) -> int:
    """Read a size of a file.

    Raises:
        ConfigError: It is none.
    """
    found = size_in_bytes(text)
    if found is None:
        hint = "Examples: 200k, 2MB (10^6), 1.5MiB (2^20), 50000."
        raise ConfigError(f'limits.bytes "{text}" is not a size of a file.', hint)
    return found


def parse_share(text: str, key: str) -> float | None:
    """Read a percentage as a share, >= 0; ``None`` where the text ends in no ``%``.

    Raises:
        ConfigError: What stands before the ``%`` is no number.
    """
    if not text.strip().endswith("%"):
        return None
    match = re.fullmatch(rf"{_NUMBER}\s*%", text.strip())
    if match is None:
        raise ConfigError(f'{key} "{text}" is not a percentage.', "Examples: 5%, 0.5%, 80%.")
    return float(match[1]) / 100


def parse_latency(text: str) -> float:
    """Read the most that inference may take longer, as a share of the frozen model's time.

    Raises:
        ConfigError: It is no percentage above 0.
    """
    share = parse_share(text, "limits.latency")
    if not share:
        message = f'limits.latency "{text}" is not a percentage above 0.'
        raise ConfigError(message, "Examples: 5%, 0.5%. For no overhead at all: --mergeable-only")
    return share


def parse_flops(text: str) -> tuple[float, bool]:
    """Read a limit of FLOPs.

    Returns:
        The number, and whether it is a share of what LoRA at every site costs.

    Raises:
        ConfigError: It is neither a percentage nor a number, or not above 0.
    """
    share = parse_share(text, "limits.train_flops")
    if share is None:
        match = re.fullmatch(_NUMBER, text.strip())
        share = float(match[1]) if match else 0.0
    if not share:
        hint = "Examples: 80% (of LoRA at every site), 2.5e15 (FLOPs of one training)."
        raise ConfigError(f'limits.train_flops "{text}" is not a limit.', hint)
    return share, text.strip().endswith("%")


#: Whether choices keep to every limit.
Allows = Callable[[tuple[Choice, ...]], bool]


@dataclass(frozen=True)
class Limits:
    """The resources of a run, and what anything at any site costs of each.

    Attributes:
        resources: What is limited, or only counted.
        meters: For each of them by name what an insertion costs.
        sites: Sites of the backbone by id.
    """

    resources: tuple[Resource, ...] = ()
    meters: Mapping[str, Meter] = field(default_factory=dict)
    sites: Mapping[str, Site] = field(default_factory=dict)

    def items(self, resource: Resource, choices: Iterable[Choice]) -> tuple[Item, ...]:
        """Return where choices insert something, and what that costs of a resource."""
        meter = self.meters[resource.name]
        placed = [(self.sites[c.site], c) for c in choices if c.method != NONE]
        return tuple(
            (layer_of(site), meter(site, c.method, c.modules, c.size)) for site, c in placed
        )

    def used(self, resource: Resource, choices: Iterable[Choice]) -> float:
        """Return what an architecture spends of a resource."""
        return resource.used(self.items(resource, choices))

    def exceeded(self, choices: Sequence[Choice]) -> list[Resource]:
        """Return the limits that an architecture does not keep to."""
        return [r for r in self.resources if not r.allows(self.items(r, choices))]

    def allow(self, choices: Sequence[Choice]) -> bool:
        """Whether an architecture keeps to every limit; parameters are counted elsewhere."""
        return not self.exceeded(choices)

    def beside(self, kept: Sequence[Choice] = ()) -> Allows | None:
        """Return what says whether choices, with those that are kept, keep to every limit.

        ``None`` where nothing is limited but parameters.
        """
        if not any(resource.binding for resource in self.resources):
            return None
        return lambda choices: self.allow((*kept, *choices))

    def require(self, choices: Sequence[Choice], what: str) -> None:
        """Refuse an architecture that is decided already and exceeds a limit.

        Raises:
            BudgetError: It does; the first such limit is named.
        """
        for resource in self.exceeded(choices):
            used = self.used(resource, choices)
            raise BudgetError(
                f"{what} takes {resource.shown(used)}, and {resource.option} is "
                f"{resource.requested}.",
                f"Raise {resource.option}, or leave it out.",
            )

    def on(self, space: SearchSpace, kept: Sequence[Choice] = ()) -> SearchSpace:
        """Return a space that knows its resources, without what alone exceeds one.

        Args:
            space: A space, within the budget of parameters.
            kept: What is decided before the search, and spends of every resource.

        Raises:
            BudgetError: Nothing but ``none`` is left; the limit is named with its cheapest
                candidate.
        """
        whole = self.rated(space, kept)
        left = []
        for gate in whole.gates:
            fitting = tuple(c for c in gate.candidates if _fits(whole.resources, gate.site, c))
            left.append(Gate(gate.site, fitting))
        found = tuple(gate for gate in left if len(gate.candidates) > 1)
        if not found:
            raise _impossible(whole.resources, whole.gates)
        return replace(whole, gates=found)

    def rated(self, space: SearchSpace, kept: Sequence[Choice] = ()) -> SearchSpace:
        """Return a space that knows its resources, with all its candidates; arguments as above."""
        resources = tuple(replace(r, kept=self.items(r, kept)) for r in self.resources)
        gates = tuple(Gate(gate.site, self._priced(gate)) for gate in space.gates)
        return replace(space, gates=gates, resources=resources)

    def _priced(self, gate: Gate) -> tuple[Candidate, ...]:
        """Return the candidates of a gate with what each costs of each resource."""
        meters = [self.meters[resource.name] for resource in self.resources]
        return tuple(
            replace(
                c,
                costs=tuple(
                    0.0 if c.method == NONE else meter(gate.site, c.method, c.modules, c.size)
                    for meter in meters
                ),
            )
            for c in gate.candidates
        )

    def to_json(
        self, choices: Sequence[Choice], real: Mapping[str, float], measured: Mapping[str, float]
    ) -> list[dict[str, Any]]:
        """Return the limits and what an architecture spends of each.

        Args:
            choices: The architecture.
            real: By name, what is known better than by counting.
            measured: By name, what stands beside what is counted.
        """
        found = []
        for r in self.resources:
            if not r.binding:
                continue
            used = real.get(r.name, self.used(r, choices))
            row = {"name": r.name, "unit": r.unit, "requested": r.requested, "limit": r.limit}
            text = f"{r.option} {r.requested}: {r.shown(used)} of {r.shown(r.limit)}"
            if r.name in measured:
                row["measured"] = measured[r.name]
                text += f", {r.shown(measured[r.name])} when measured as a whole"
            found.append({**row, "used": used, "text": text})
        return found


def _fits(resources: Sequence[Resource], site: Site, candidate: Candidate) -> bool:
    if candidate.method == NONE:
        return True
    pairs = zip(resources, candidate.costs, strict=True)
    return all(r.allows([(layer_of(site), cost)]) for r, cost in pairs)


def _impossible(resources: Sequence[Resource], gates: Sequence[Gate]) -> BudgetError:
    """Name the limit that nothing fits, or all where each has something that fits it."""
    found = []
    for place, resource in enumerate(resources):
        if not resource.binding:
            continue
        spent = [
            (resource.used([(layer_of(gate.site), c.costs[place])]), f"{c.label} at {gate.site.id}")
            for gate in gates
            for c in gate.candidates
            if c.method != NONE
        ]
        least, name = min(spent)
        cheapest = f"{name} takes {resource.shown(least)}"
        if least > resource.limit:
            return BudgetError(
                f"{resource.option} {resource.requested} is less than the cheapest candidate of "
                f"the space needs: {cheapest}.",
                f"Raise {resource.option}, or take another --space.",
            )
        found.append(f"{resource.option} {resource.requested} ({cheapest})")
    return BudgetError(
        f"No candidate of the space keeps to all of {', '.join(found)}.", "Raise one of them."
    )
