"""Choices that a run keeps: part of an architecture stays, and the search decides the rest.

Place in the flow: an ``architecture.json`` -> **freezing** -> a space without the sites that are
decided, and a budget without what they cost. Torch-free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from peftsearch.architecture import Architecture, Choice
from peftsearch.carrying import carried
from peftsearch.config import FreezeConfig
from peftsearch.errors import BudgetError, ConfigError
from peftsearch.site import Site
from peftsearch.space import Cost, SearchSpace


@dataclass(frozen=True)
class Frozen:
    """What is decided before the search.

    Attributes:
        sites: Ids of the sites that are decided, those that stay empty included.
        choices: What they hold.
        source: The file it comes from.
    """

    sites: frozenset[str] = frozenset()
    choices: tuple[Choice, ...] = ()
    source: str = ""

    @cached_property
    def num_params(self) -> int:
        """Parameters of what is kept."""
        return sum(choice.num_params for choice in self.choices)

    def left_open(self, sites: Sequence[Site]) -> list[Site]:
        """Return the sites that the search decides."""
        return [site for site in sites if site.id not in self.sites]

    def free(self, limit: int) -> int:
        """Return the parameters of a budget that what is kept leaves.

        Raises:
            BudgetError: It alone exceeds the budget.
        """
        if self.num_params > limit:
            message = f"What {self.source} keeps has {self.num_params:,} parameters; the budget is "
            raise BudgetError(f"{message}{limit:,}.", f"--budget {self.num_params} or more.")
        return limit - self.num_params

    def opened(self, space: SearchSpace) -> SearchSpace:
        """Return a space without the gates of the sites that are decided.

        Raises:
            ConfigError: No gate is left.
        """
        gates = tuple(gate for gate in space.gates if gate.site.id not in self.sites)
        if self.sites and not gates:
            raise ConfigError(
                f"What {self.source} keeps leaves the space {space.name} nothing to decide.",
                f"Keep fewer sites (--freeze-sites), or train it: --architecture {self.source}",
            )
        return replace(space, gates=gates)

    def within(self, space: SearchSpace, limit: int) -> SearchSpace:
        """Return the candidates of an opened space that fit beside what is kept.

        Raises:
            BudgetError: Nothing fits.
        """
        free = self.free(limit)
        if self.choices and space.min_cost > free:
            raise BudgetError(
                f"Of the budget of {limit:,} parameters, what {self.source} keeps leaves {free:,}; "
                f"the cheapest candidate elsewhere has {space.min_cost:,}.",
                f"--budget {self.num_params + space.min_cost} or more.",
            )
        return space.within(free)


def frozen(settings: FreezeConfig, sites: Sequence[Site], cost: Cost) -> Frozen:
    """Read what a run keeps.

    Without patterns every site at which the file inserts something is decided; with patterns
    every site that one of them names, also where the file leaves it empty.

    Args:
        settings: The file, and the patterns of site ids.
        sites: Sites of the backbone.
        cost: Counts a candidate at one of them.

    Raises:
        ConfigError: The file is no architecture, this backbone lacks a site or module that is
            kept, or a pattern names no site.
    """
    if settings.choices is None:
        return Frozen()
    path, ids = Path(settings.choices), [site.id for site in sites]
    architecture = Architecture.load(path)
    if not settings.sites:
        choices = carried(architecture, sites, cost, str(path))
        return Frozen(frozenset(choice.site for choice in choices), choices, str(path))
    idle = [p for p in settings.sites if not any(fnmatchcase(name, p) for name in ids)]
    if idle:
        some = ", ".join(ids[:4])
        raise ConfigError(
            f"freeze.sites: no site of this model is named {', '.join(idle)}.",
            f"Sites are named {some}, ...; a pattern is e.g. encoder.* or *.norm.",
        )
    kept = frozenset(n for n in ids if any(fnmatchcase(n, p) for p in settings.sites))
    part = replace(architecture, choices=tuple(c for c in architecture.choices if c.site in kept))
    choices = carried(part, sites, cost, str(path)) if part.active else ()
    return Frozen(kept, choices, str(path))
