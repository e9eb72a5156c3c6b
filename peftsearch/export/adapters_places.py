"""Where the adapters library keeps what it adds to a model, by type of model.

Data and look-ups alone: the paths of modules there, the switches of a config that mean them, and
how layers are numbered.
"""

from __future__ import annotations

import re

from peftsearch.backbones.base import Backbone, module_paths
from peftsearch.catalogue import families
from peftsearch.methods.base import SiteHost
from peftsearch.site import split_id

#: The switches of a bottleneck's config by part.
SWITCHES = {
    "attention": "mh_adapter",
    "cross_attention": "cross_adapter",
    "feed_forward": "output_adapter",
}
#: Where that library keeps the bottlenecks of a layer: how many names to take off the path of the
#: part's last linear map, and what to add to it.
_BOTTLENECKS = {
    "attention": (2, ".attention_adapters"),
    "cross_attention": (2, ".cross_attention_adapters"),
    "feed_forward": (2, ".output_adapters"),
}
#: The same where it is otherwise, by backbone family. BERT's and T5's modules are bottlenecks
#: themselves.
_OTHER_BOTTLENECKS = {
    "bert": {"attention": (1, ""), "feed_forward": (1, "")},
    "deberta": {"attention": (1, ""), "feed_forward": (1, "")},
    "t5": {"attention": (2, ""), "cross_attention": (2, ""), "feed_forward": (2, "")},
    "albert": {"feed_forward": (1, ".output_adapters")},
    "bart": {"feed_forward": (1, ".output_adapters")},
    "whisper": {"feed_forward": (1, ".output_adapters")},
    "vit": {
        "attention": (3, ".attention_adapters"),
        "feed_forward": (1, ".output_adapters"),
    },
}
#: The switch of a LoRA's config for each map of a feed-forward.
_SWITCHES_OF_MAPS = {"up": "intermediate_lora", "down": "output_lora"}
#: Types of models in which that library has the two the other way round.
_TURNED = ("llama", "mistral")
#: What transformers 5 renamed, and that library, on transformers 4, did not.
_OLD_NAMES = {
    "vit": {
        r"\.layers\.": ".encoder.layer.",
        r"\.attention\.q_proj$": ".attention.attention.query",
        r"\.attention\.k_proj$": ".attention.attention.key",
        r"\.attention\.v_proj$": ".attention.attention.value",
        r"\.attention\.o_proj$": ".attention.output.dense",
        r"\.mlp\.fc1$": ".intermediate.dense",
        r"\.mlp\.fc2$": ".output.dense",
    }
}
#: Stacks in the order in which that library numbers their layers.
_STACKS = ("encoder", "decoder", "text", "vision")


def host_of(backbone: Backbone, site: str) -> SiteHost:
    """Return the modules of a site."""
    (found,) = (host for host in backbone.hosts if host.site.id == site)
    return found


def module_path(backbone: Backbone, site: str, module: str) -> str:
    """Return the path of one of a site's modules there."""
    path = module_paths(backbone.model, [host_of(backbone, site).modules[module]])[0]
    for new, old in _OLD_NAMES.get(backbone.family, {}).items():
        path = re.sub(new, old, path)
    return path


def bottleneck_path(backbone: Backbone, site: str, module: str) -> str:
    """Return the path of what holds the bottlenecks behind a part's last map."""
    part = split_id(site)[2]
    other = _OTHER_BOTTLENECKS.get(families()[backbone.family], {})
    levels, added = other.get(part, _BOTTLENECKS[part])
    return module_path(backbone, site, module).rsplit(".", levels)[0] + added


def prefix_path(backbone: Backbone, site: str) -> str:
    """Return the path, below an adapter's name, of the prefixes of a site's stack."""
    stack, _, part = split_id(site)
    if stack in ("text", "vision"):
        return f"{backbone.family}_{stack}_model_self_prefix"
    if part == "cross_attention":
        return "cross_prefix"
    of_encoder = backbone.model.config.is_encoder_decoder and stack == "encoder"
    return "encoder_prefix" if of_encoder else "self_prefix"


def map_switch(backbone: Backbone, module: str) -> str:
    """Return the switch of a LoRA's config for ``up`` or ``down``."""
    turned = {"up": "down", "down": "up"} if backbone.family in _TURNED else {}
    return _SWITCHES_OF_MAPS[turned.get(module, module)]


def layer_number(backbone: Backbone, site: str) -> int:
    """Return that library's number of a site's layer: stack behind stack."""
    stack, layer, _ = split_id(site)
    before = _STACKS[: _STACKS.index(stack)] if stack in _STACKS else ()
    return layer + sum(_depth(backbone, name) for name in before)


def number_of_layers(backbone: Backbone) -> int:
    """Return how many layers that library numbers."""
    return sum(_depth(backbone, name) for name in _STACKS)


def _depth(backbone: Backbone, stack: str) -> int:
    return 1 + max((site.layer for site in backbone.sites if site.stack == stack), default=-1)


def width_at(backbone: Backbone, site: str) -> int:
    """Return the width of the layer that a part stands in; two towers may differ."""
    host = host_of(backbone, site)
    return host.linear("down" if "down" in host.modules else "o").out_features
