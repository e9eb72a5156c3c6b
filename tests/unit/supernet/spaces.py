"""Search spaces on tiny models."""

from __future__ import annotations

from typing import Any

from peftsearch.backbones.base import Backbone, wrap
from peftsearch.catalogue import method_facts
from peftsearch.injection import cost_function
from peftsearch.space import SearchSpace
from peftsearch.space_spec import apply_space, parse_space
from tests.models import FACTORIES

ATTENTION: list[dict[str, Any]] = [
    {"method": "lora", "modules": ["q", "v"], "sizes": [1, 2, 4]},
    {"method": "lora", "modules": ["o"], "sizes": [2]},
    {"method": "adapter", "sizes": [1, 3]},
    {"method": "prefix", "sizes": [1, 2, 5]},
    {"method": "ia3"},
    {"method": "bitfit"},
]
FEED_FORWARD: list[dict[str, Any]] = [
    {"method": "lora", "sizes": [1, 2]},
    {"method": "adapter", "sizes": [1, 4]},
    {"method": "parallel_adapter", "sizes": [1, 4]},
    {"method": "ia3"},
    {"method": "bitfit"},
]
NORM: list[dict[str, Any]] = [{"method": "layernorm"}, {"method": "bitfit"}]


def space_on(family: str, combine: str = "one") -> tuple[Backbone, SearchSpace]:
    """Return a backbone and a space with every method on it."""
    backbone = wrap(family, FACTORIES[family]())
    attention = ["attention"] + ["cross_attention"] * backbone.model.config.is_encoder_decoder
    rules = [(attention, ATTENTION), (["feed_forward"], FEED_FORWARD), (["norm"], NORM)]
    data = {
        "name": "test",
        "combine": combine,
        "sites": [{"where": {"part": part}, "candidates": c} for part, c in rules],
    }
    spec = parse_space(data, method_facts(), "test")
    cost = cost_function(backbone.hosts)
    return backbone, apply_space(spec, backbone.sites, method_facts(), cost)
