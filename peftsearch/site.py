"""Where something may be inserted: a part of one layer of one stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PARTS = ("attention", "cross_attention", "feed_forward", "norm")


@dataclass(frozen=True, order=True)
class Site:
    """A part of a layer, named by stack, layer and part and never by module path.

    Attributes:
        stack: ``"encoder"`` or ``"decoder"``.
        layer: Index within the stack, from 0.
        part: One of :data:`PARTS`.
        modules: Names of the frozen modules at this site, e.g. ``("q", "k", "v", "o")``.
    """

    stack: str
    layer: int
    part: str
    modules: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The stable name, e.g. ``encoder.03.attention``."""
        return f"{self.stack}.{self.layer:02d}.{self.part}"

    def to_json(self) -> dict[str, Any]:
        """Return the form written into ``sites.json``."""
        return {
            "id": self.id,
            "stack": self.stack,
            "layer": self.layer,
            "part": self.part,
            "modules": list(self.modules),
        }


def split_id(site_id: str) -> tuple[str, int, str]:
    """Split ``encoder.03.attention`` into ``("encoder", 3, "attention")``.

    Raises:
        ValueError: The text is not a site id.
    """
    stack, layer, part = site_id.split(".")
    return stack, int(layer), part


def from_json(rows: Sequence[Mapping[str, Any]]) -> list[Site]:
    """Read the ``sites`` list of ``sites.json``."""
    return [Site(r["stack"], r["layer"], r["part"], tuple(r["modules"])) for r in rows]
