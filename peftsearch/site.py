"""Where something may be inserted: a part of one layer of one stack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PARTS = ("attention", "cross_attention", "feed_forward", "norm")
#: Names of one linear map that computes several of a layer's maps at once, and which.
FUSED: Mapping[str, tuple[str, ...]] = {"qkv": ("q", "k", "v")}


@dataclass(frozen=True, order=True)
class Site:
    """A part of a layer, named by stack, layer and part and never by module path.

    Attributes:
        stack: ``"encoder"`` or ``"decoder"``.
        layer: Index within the stack, from 0.
        part: One of :data:`PARTS`.
        modules: Names of the frozen modules at this site, e.g. ``("q", "k", "v", "o")``.
        refused: Methods that cannot be had here, each with the reason as part of a sentence.
    """

    stack: str
    layer: int
    part: str
    modules: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict, compare=False)

    def resolve(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the modules that names stand for here, each once; unknown names fall away.

        Where queries, keys and values come out of one map ``qkv``, each of the three names stands
        for that map.
        """
        fused = {
            part: whole for whole, parts in FUSED.items() if whole in self.modules for part in parts
        }
        found = (fused.get(name, name) if name not in self.modules else name for name in names)
        return tuple(dict.fromkeys(name for name in found if name in self.modules))

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
            **({"refused": dict(self.refused)} if self.refused else {}),
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
    return [
        Site(r["stack"], r["layer"], r["part"], tuple(r["modules"]), r.get("refused", {}))
        for r in rows
    ]
