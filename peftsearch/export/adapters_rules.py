"""What the adapters library computes otherwise, beyond what its exporter's table declares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from peftsearch.architecture import Architecture, Choice
from peftsearch.backbones.base import Backbone, head_kind
from peftsearch.catalogue import architecture_of
from peftsearch.export.adapters_places import host_of
from peftsearch.export.base import Bundle, Problem
from peftsearch.export.writing import refusal
from peftsearch.site import Site, split_id

#: The modules on which that library has a method, by method and part.
_MODULES = {
    ("lora", "attention"): ("q", "k", "v"),
    ("lora", "cross_attention"): ("q", "k", "v"),
    ("lora", "feed_forward"): ("up", "down"),
    ("ia3", "attention"): ("q", "k", "v"),
    ("ia3", "cross_attention"): ("q", "k", "v"),
    ("ia3", "feed_forward"): ("down",),
}


def problems(architecture: Architecture, backbone: Backbone) -> list[Problem]:
    """Return the choices on modules, beside others, or in models that the library does not fit."""
    active = architecture.active
    if not active:
        return [Problem("all sites", "none", "nothing was chosen, and adapters needs one adapter")]
    if backbone.family == "clip" and head_kind(backbone.model) != "pair":
        return [Problem("head", "none", "adapters knows no head on a single tower of CLIP")]
    kind = architecture_of(backbone.family)
    if kind == "encoder-decoders" and {site.stack for site in backbone.sites} == {"decoder"}:
        reason = "adapters runs this decoder behind an encoder and not by itself"
        return [Problem("all sites", "none", reason)]
    found = [(choice, reason) for choice in active for reason in _alone(choice, backbone)]
    if kind == "encoder-decoders":
        found += _one_sided(active)
    found += _meeting(active)
    reasons: dict[tuple[str, str], str] = {}
    for choice, reason in found:
        reasons.setdefault((choice.site, choice.method), reason)
    return [Problem(site, method, reason) for (site, method), reason in reasons.items()]


def _alone(choice: Choice, backbone: Backbone) -> Iterator[str]:
    """Yield why one choice, whatever else there is, cannot be held."""
    stack, _, part = split_id(choice.site)
    site, config = host_of(backbone, choice.site).site, backbone.model.config
    allowed = _MODULES.get((choice.method, part), choice.modules)
    wrong = [name for name in choice.modules if name not in allowed]
    if wrong:
        yield f"adapters has {choice.method} on {', '.join(allowed)} alone, not on {wrong[0]}"
    if (choice.method, part) == ("ia3", "feed_forward") and not _scales_alike(config, site):
        yield (
            "adapters rescales before the activation, which is the same for ReLU and for gated "
            "feed-forwards only"
        )
    if choice.method == "prefix" and stack == "decoder":
        yield "adapters gets the causal mask beside a prefix wrong, except with eager attention"


def _scales_alike(config: Any, site: Site) -> bool:
    """Whether a factor before the activation is one behind it, as it is beside a gate."""
    return "gate" in site.modules or _activation(config, site.stack) == "relu"


def _activation(config: Any, stack: str) -> str:
    """Return the name of the activation of a stack's feed-forwards."""
    own = getattr(config, f"{stack}_config", config)
    names = ("dense_act_fn", "activation_function", "activation", "hidden_act")
    return next((str(getattr(own, name)) for name in names if hasattr(own, name)), "")


def _one_sided(active: Sequence[Choice]) -> Iterator[tuple[Choice, str]]:
    """Yield what stands on one of a decoder layer's two attentions and not on the other."""
    kinds = {c: (c.method, c.size, frozenset(c.modules)) for c in active}
    there = {(c.site, kind) for c, kind in kinds.items()}
    other = {"attention": "cross_attention", "cross_attention": "attention"}
    for choice, kind in kinds.items():
        stack, layer, part = split_id(choice.site)
        twin = f"{stack}.{layer:02d}.{other.get(part, '')}"
        if stack == "decoder" and choice.method in ("lora", "ia3") and part in other:
            if (twin, kind) not in there:
                yield (
                    choice,
                    f"adapters would put the same on the layer's {other[part]}, which has no such "
                    "choice",
                )


def _meeting(active: Sequence[Choice]) -> Iterator[tuple[Choice, str]]:
    """Yield the choices that meet others where that library would chain or replace them."""
    counts = Counter(place for choice in active for place in _places(choice))
    for choice in active:
        if any(counts[place] > 1 for place in _places(choice)):
            yield (
                choice,
                "another choice acts on the same module, and a stack of adapters does not add "
                "up there",
            )


def _places(choice: Choice) -> list[tuple[str, str]]:
    """Return the places of that library that a choice takes."""
    part = split_id(choice.site)[2]
    if choice.method in ("adapter", "parallel_adapter"):
        return [(choice.site, "bottleneck")]
    if choice.method == "prefix":
        return [(choice.site, "prefix")]
    inner = (choice.method, part) == ("ia3", "feed_forward")
    return [(choice.site, "up" if inner else module) for module in choice.modules]


def check_signs(bundle: Bundle) -> None:
    """Refuse factors that a ReLU does not let through.

    Raises:
        ExportError: There are some; each place is named.
    """
    found = []
    for choice in bundle.architecture.active:
        site = host_of(bundle.backbone, choice.site).site
        if choice.method == "ia3" and site.part == "feed_forward" and "gate" not in site.modules:
            factors = 1 + bundle.of(choice.site, "ia3", "down")["delta"]
            negative = int((factors < 0).sum())
            if negative:
                counted = f"{negative} negative factor{'s' * (negative != 1)}"
                reason = f"{counted}, and adapters has them before a ReLU"
                found.append(Problem(choice.site, choice.method, reason))
    if found:
        raise refusal("adapters", found)
