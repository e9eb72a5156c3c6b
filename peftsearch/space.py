"""The search space: which candidates each site of a backbone may get, with exact costs.

Place in the flow: sites -> space -> supernet; what ``space.json`` holds. It is made from YAML by
:mod:`peftsearch.space_spec`. Torch-free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from peftsearch.architecture import NONE
from peftsearch.errors import BudgetError
from peftsearch.resources import Item, Resource, layer_of
from peftsearch.site import Site

COMBINE = ("one", "many")
#: ``cost(site, method, modules, size) -> parameters``.
Cost = Callable[[Site, str, tuple[str, ...], int], int]


@dataclass(frozen=True)
class MethodFacts:
    """What the space needs to know of a method.

    Attributes:
        name: Method name.
        modules: For each part it may attach to, the modules it takes when none are named.
        sized: Whether it has sizes; a method without has the one size 1.
    """

    name: str
    modules: Mapping[str, tuple[str, ...]]
    sized: bool

    def modules_at(self, site: Site, named: Iterable[str] = ()) -> tuple[str, ...]:
        """Return the modules that the method takes at a site; none where it cannot be had.

        Args:
            site: Where.
            named: What a space names; the method's own modules by default.
        """
        allowed = self.modules.get(site.part, ())
        if not allowed or self.name in site.refused:
            return ()
        return site.resolve(named or allowed)


@dataclass(frozen=True, order=True)
class Candidate:
    """What a gate may choose: method, size, modules, and the parameters that costs.

    Attributes:
        costs: What it costs of each further resource of the space.
    """

    method: str
    size: int
    modules: tuple[str, ...]
    num_params: int
    costs: tuple[float, ...] = field(default=(), compare=False)

    @property
    def label(self) -> str:
        """A short name, e.g. ``lora 8 (q,v)``."""
        if self.method == NONE:
            return NONE
        return f"{self.method} {self.size} ({','.join(self.modules)})"


EMPTY = Candidate(NONE, 0, (), 0)


@dataclass(frozen=True)
class Gate:
    """One decision: the candidates among which a site chooses; the first is always ``none``."""

    site: Site
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Removed:
    """Candidates of one method that a space went without, all for one reason.

    Attributes:
        method: Method name.
        targets: Export targets that cannot hold them; none where the model itself cannot.
        reason: Why not, as part of a sentence.
        sites: Sites that had such candidates.
        candidates: How many there were.
    """

    method: str
    targets: tuple[str, ...]
    reason: str
    sites: int
    candidates: int

    def __str__(self) -> str:
        """Return one line for humans."""
        whom = f" for {', '.join(self.targets)}" if self.targets else ""
        return (
            f"{self.method} removed at {_plural(self.sites, 'site')} "
            f"({_plural(self.candidates, 'candidate')}){whom}: {self.reason}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return one entry of ``removed`` in ``space.json``."""
        return {**asdict(self), "targets": list(self.targets)}


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + "s" * (number != 1)


@dataclass(frozen=True)
class SearchSpace:
    """A space applied to the sites of one backbone.

    Attributes:
        name: As in its YAML.
        description: As in its YAML.
        combine: As in its YAML.
        gates: The decisions, in the order of the sites.
        exportable_to: Export targets that it was narrowed to, each of which can hold every
            architecture but the empty one.
        removed: What it lost by that, and what the model cannot have.
        resources: What is limited beside the parameters.
    """

    name: str
    description: str
    combine: str
    gates: tuple[Gate, ...]
    exportable_to: tuple[str, ...] = ()
    removed: tuple[Removed, ...] = ()
    resources: tuple[Resource, ...] = ()

    @property
    def num_candidates(self) -> int:
        """Candidates over all gates, ``none`` included."""
        return sum(len(gate.candidates) for gate in self.gates)

    @property
    def max_cost(self) -> int:
        """Parameters of the largest architecture."""
        return sum(max(c.num_params for c in gate.candidates) for gate in self.gates)

    @property
    def min_cost(self) -> int:
        """Parameters of the cheapest architecture that is not empty; 0 for an empty space."""
        costs = [c.num_params for _, c in self.choices() if c.method != NONE]
        return min(costs, default=0)

    def choices(self) -> list[tuple[Gate, Candidate]]:
        """Every gate with every one of its candidates."""
        return [(gate, candidate) for gate in self.gates for candidate in gate.candidates]

    def binds(self, limit: int) -> bool:
        """Whether the budget forces a choice, i.e. the largest architecture does not fit."""
        return self.max_cost > limit

    @property
    def limited(self) -> bool:
        """Whether more than parameters is limited."""
        return any(resource.binding for resource in self.resources)

    def items(self, candidates: Sequence[int], resource: int) -> list[Item]:
        """Return where an assignment inserts something, and what that costs of a resource.

        Args:
            candidates: One candidate index per gate.
            resource: Index of the resource.
        """
        pairs = zip(self.gates, candidates, strict=True)
        chosen = ((gate.site, gate.candidates[index]) for gate, index in pairs)
        return [(layer_of(site), c.costs[resource]) for site, c in chosen if c.method != NONE]

    def allows(self, candidates: Sequence[int], gate: int = 0, index: int | None = None) -> bool:
        """Whether an assignment stays within every resource; parameters are counted elsewhere.

        Args:
            candidates: One candidate index per gate.
            gate: A gate at which another candidate is asked about.
            index: That candidate; absent: the assignment as it is.
        """
        if not self.limited:
            return True
        asked = list(candidates)
        if index is not None:
            asked[gate] = index
        return all(r.allows(self.items(asked, i)) for i, r in enumerate(self.resources))

    def within(self, limit: int) -> SearchSpace:
        """Return the space without candidates that alone exceed the budget.

        Raises:
            BudgetError: Nothing but ``none`` is left.
        """
        if self.min_cost > limit:
            cheapest = sorted({c.num_params: c for _, c in self.choices() if c.num_params}.items())
            names = "; ".join(f"{c.label}: {n:,}" for n, c in cheapest[:3])
            raise BudgetError(
                f"A budget of {limit:,} parameters is smaller than the cheapest candidate "
                f"of the space {self.name} ({self.min_cost:,}).",
                f"Cheapest candidates: {names}. Raise --budget or take another --space.",
            )
        gates = [
            Gate(gate.site, tuple(c for c in gate.candidates if c.num_params <= limit))
            for gate in self.gates
        ]
        kept = tuple(gate for gate in gates if len(gate.candidates) > 1)
        return replace(self, gates=kept)

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``space.json``; what was taken out only if something was."""
        narrowed = {
            "exportable_to": list(self.exportable_to),
            "removed": [one.to_json() for one in self.removed],
        }
        changed = bool(self.exportable_to or self.removed)
        return {
            "format": 1,
            "name": self.name,
            "description": self.description,
            "combine": self.combine,
            **(narrowed if changed else {}),
            **({"resources": [r.to_json() for r in self.resources]} if self.resources else {}),
            "gates": [_gate_json(gate) for gate in self.gates],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SearchSpace:
        """Read the content of ``space.json``."""
        gates = tuple(
            Gate(
                Site(g["stack"], g["layer"], g["part"], tuple(g["modules"])),
                tuple(
                    Candidate(
                        c["method"],
                        c["size"],
                        tuple(c["modules"]),
                        c["num_params"],
                        tuple(c.get("costs", ())),
                    )
                    for c in g["candidates"]
                ),
            )
            for g in data["gates"]
        )
        removed = tuple(
            Removed(**{**one, "targets": tuple(one["targets"])}) for one in data.get("removed", ())
        )
        targets = tuple(data.get("exportable_to", ()))
        resources = tuple(map(Resource.from_json, data.get("resources", ())))
        name, description, combine = data["name"], data["description"], data["combine"]
        return cls(name, description, combine, gates, targets, removed, resources)


def _gate_json(gate: Gate) -> dict[str, Any]:
    site = gate.site.to_json()
    return {
        "site": site.pop("id"),
        **site,
        "candidates": [
            {
                "method": c.method,
                "size": c.size,
                "modules": list(c.modules),
                "num_params": c.num_params,
                **({"costs": list(c.costs)} if c.costs else {}),
            }
            for c in gate.candidates
        ],
    }
