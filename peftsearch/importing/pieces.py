"""What was found in somebody else's adapter, module by module, put together as an architecture.

Place in the flow: importing -> architecture. Readers of single formats return pieces; what has no
place here is a problem, and all problems are one error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from peftsearch.architecture import Architecture, Choice
from peftsearch.backbones.base import Backbone
from peftsearch.baselines import complete
from peftsearch.catalogue import method_facts, method_order
from peftsearch.errors import ExportError
from peftsearch.export.base import Problem
from peftsearch.injection import count

#: What stands under ``task`` in an architecture that no task was named for.
NO_TASK = "imported"


@dataclass(frozen=True)
class Piece:
    """One method on one module of a site.

    Attributes:
        site: Site id.
        method: Method name.
        size: Rank, bottleneck or length; 1 for methods without a size.
        module: Module of the site; where a method takes several as a whole, each has a piece.
    """

    site: str
    method: str
    size: int
    module: str


def whole(backbone: Backbone, site: str, method: str, size: int) -> list[Piece]:
    """Return the pieces of a method that takes all its modules of a site as one."""
    (there,) = (each for each in backbone.sites if each.id == site)
    return [Piece(site, method, size, name) for name in method_facts()[method].modules_at(there)]


def twice(pieces: Iterable[Piece]) -> list[Problem]:
    """Return what stands twice on one module."""
    seen: set[tuple[str, str, str]] = set()
    found = {}
    for piece in pieces:
        place = (piece.site, piece.method, piece.module)
        if place in seen:
            reason = f"two adapters train it on {piece.module}; here a module has a method once"
            found[place] = Problem(piece.site, piece.method, reason)
        seen.add(place)
    return list(found.values())


def assemble(pieces: Iterable[Piece], backbone: Backbone, task: str = NO_TASK) -> Architecture:
    """Return the architecture of some pieces, with a budget that just holds it.

    Modules of a site that agree on method and size are one choice. Choices of a site stand in the
    order of composition, modules in the order of the site, whatever the order of the pieces.
    """
    grouped: dict[tuple[str, str, int], set[str]] = {}
    for piece in pieces:
        grouped.setdefault((piece.site, piece.method, piece.size), set()).add(piece.module)
    hosts = {host.site.id: host for host in backbone.hosts}
    choices = []
    for (site, method, size), names in grouped.items():
        modules = tuple(name for name in hosts[site].site.modules if name in names)
        cost = count(hosts[site], method, modules, size)
        choices.append(Choice(site, method, size, modules, cost))
    choices.sort(
        key=lambda c: (method_order(c.method), hosts[c.site].site.modules.index(c.modules[0]))
    )
    used = sum(choice.num_params for choice in choices)
    return Architecture(
        model=backbone.name,
        task=task,
        backbone_parameters=backbone.num_parameters,
        requested=str(used),
        limit=used,
        choices=complete(choices, backbone.sites),
    )


def refusal(source: Path, found: Sequence[Problem]) -> ExportError:
    """Return the one error that lists everything that has no place in an architecture."""
    lines = "\n".join(f"  {p.site}: {p.method}: {p.reason}" for p in dict.fromkeys(found))
    return ExportError(
        f"{source} cannot be expressed as an architecture:\n{lines}",
        "What can be, and where: docs/export.md, peftsearch list methods",
    )
