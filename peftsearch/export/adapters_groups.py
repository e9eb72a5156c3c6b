"""An architecture as that of the adapters library: a few adapters, one after the other.

One adapter of that library has one rank, or one prefix length, and says which layers it leaves
out; choices that agree on all but the layer are one adapter here. Bottlenecks may differ in size
from layer to layer within one. Where two adapters meet in a layer they touch different modules,
so that their order means nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from peftsearch.architecture import Choice
from peftsearch.backbones.base import Backbone
from peftsearch.export.adapters_places import (
    SWITCHES,
    bottleneck_path,
    layer_number,
    map_switch,
    module_path,
    number_of_layers,
    prefix_path,
    width_at,
)
from peftsearch.export.base import Bundle
from peftsearch.methods.lora import SCALE
from peftsearch.site import split_id


@dataclass(frozen=True)
class Adapter:
    """One adapter of that library.

    Attributes:
        name: What it is called there, and its folder.
        config: Its config, in that library's words.
        tensors: Its weights by that library's keys.
        num_params: The parameters that the architecture trains in it.
    """

    name: str
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    num_params: int


def adapters_of(bundle: Bundle) -> list[Adapter]:
    """Return the adapters that hold an architecture, in the order of its sites."""
    grouped: dict[tuple[str, ...], list[Choice]] = {}
    for choice in sorted(
        bundle.architecture.active, key=lambda c: layer_number(bundle.backbone, c.site)
    ):
        grouped.setdefault(_key(choice), []).append(choice)
    return [_adapter(bundle, "_".join(key), choices) for key, choices in grouped.items()]


def _part(choice: Choice) -> str:
    return split_id(choice.site)[2]


def _key(choice: Choice) -> tuple[str, ...]:
    """Return what choices of one adapter agree on; also its name."""
    part = _part(choice)
    if choice.method in ("lora", "ia3"):
        # That library does not tell a decoder layer's two attentions apart.
        part = "attention" if part == "cross_attention" else part
        rank = (f"r{choice.size}",) if choice.method == "lora" else ()
        return (choice.method, part, *sorted(choice.modules), *rank)
    if choice.method == "prefix":
        return (choice.method, part, f"p{choice.size}")
    return (choice.method, part)


def _adapter(bundle: Bundle, name: str, choices: Sequence[Choice]) -> Adapter:
    backbone = bundle.backbone
    layers = {layer_number(backbone, choice.site) for choice in choices}
    every = range(number_of_layers(backbone))
    config = _config(backbone, choices) | {"leave_out": [n for n in every if n not in layers]}
    if choices[0].method == "prefix":
        tensors = _prefixes(bundle, name, choices)
    else:
        tensors = {k: t for c in choices for k, t in _tensors(bundle, name, c).items()}
    return Adapter(name, config, tensors, sum(choice.num_params for choice in choices))


def _config(backbone: Backbone, choices: Sequence[Choice]) -> dict[str, Any]:
    method, part = choices[0].method, _part(choices[0])
    if method in ("lora", "ia3"):
        return _lora(backbone, choices[0])
    if method == "prefix":
        return {
            "architecture": "prefix_tuning",
            "flat": True,
            "prefix_length": choices[0].size,
            "dropout": 0.0,
            "encoder_prefix": True,
            "cross_prefix": part == "cross_attention",
            "use_gating": False,
        }
    sizes = {
        str(layer_number(backbone, c.site)): reduction_factor(width_at(backbone, c.site), c.size)
        for c in choices
    }
    return {
        "architecture": None,
        **{switch: place == part for place, switch in SWITCHES.items()},
        "reduction_factor": {**sizes, "default": 1.0},
        "non_linearity": "relu",
        "is_parallel": method == "parallel_adapter",
        "scaling": 1.0,
        "original_ln_before": False,
        "original_ln_after": True,
        "ln_before": False,
        "ln_after": False,
        "residual_before_ln": True,
        "adapter_residual_before_ln": False,
        "use_gating": False,
        "dropout": 0.0,
        "init_weights": "mam_adapter",
    }


def reduction_factor(width: int, size: int) -> float:
    """Return the factor for a size; that library takes ``int(width // factor)``.

    The half keeps the quotient away from the whole numbers, where rounding would cost a unit.
    """
    return width / (size + 0.5)


def _lora(backbone: Backbone, choice: Choice) -> dict[str, Any]:
    """Return the config of a LoRA, or of an IA3, which is a LoRA of another mode there."""
    inner, scales = _part(choice) == "feed_forward", choice.method == "ia3"
    # The activations are scaled where they are made; ours are where they are read.
    maps = ("up",) if scales else choice.modules
    switches = {map_switch(backbone, module) for module in maps} if inner else set()
    return {
        "architecture": "lora",
        "selfattn_lora": not inner,
        "intermediate_lora": "intermediate_lora" in switches,
        "output_lora": "output_lora" in switches,
        "attn_matrices": [] if inner else sorted(choice.modules),
        "r": 1 if scales else choice.size,
        "alpha": 1 if scales else SCALE * choice.size,
        "dropout": 0.0,
        "composition_mode": "scale" if scales else "add",
        "init_weights": "ia3" if scales else "lora",
        "use_gating": False,
        "use_dora": False,
    }


def _tensors(bundle: Bundle, name: str, choice: Choice) -> dict[str, Tensor]:
    """Return the tensors of one choice by that library's keys."""
    found: dict[str, Tensor] = {}
    backbone, site = bundle.backbone, choice.site
    for module in choice.modules:
        own = bundle.of(site, choice.method, module)
        if choice.method == "lora":
            key = f"{module_path(backbone, site, module)}.loras.{name}"
            found |= {f"{key}.lora_A": own["A"], f"{key}.lora_B": own["B"]}
        elif choice.method == "ia3":
            place = "up" if _part(choice) == "feed_forward" else module
            key = f"{module_path(backbone, site, place)}.loras.{name}"
            found[f"{key}.lora_B"] = (1 + own["delta"]).unsqueeze(1)
        elif own:  # a parallel adapter is a tap without tensors at the first map
            key = f"{bottleneck_path(backbone, site, module)}.adapters.{name}"
            found |= {
                f"{key}.adapter_down.0.weight": own["down"],
                f"{key}.adapter_down.0.bias": own["down_bias"],
                f"{key}.adapter_up.weight": own["up"],
                f"{key}.adapter_up.bias": own["up_bias"],
            }
    return found


def _prefixes(bundle: Bundle, name: str, choices: Sequence[Choice]) -> dict[str, Tensor]:
    """Return one flat tensor for each stack: (length, 2 x layers, heads x width of a head)."""
    rows: dict[str, list[Tensor]] = {}
    for choice in choices:
        own = bundle.of(choice.site, choice.method, "core")
        place = prefix_path(bundle.backbone, choice.site)
        rows.setdefault(place, []).extend([own["key"], own["value"]])
    model = bundle.backbone.model
    base = f"{model.base_model_prefix}." if hasattr(model, model.base_model_prefix) else ""
    pool = f"{base}prefix_tuning.prefix_tunings.{name}"
    return {
        f"{pool}.{place}.control_trans": torch.stack(own, dim=1).flatten()
        for place, own in rows.items()
    }
