"""The sites of a model by its description."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from peftsearch.backbones.description import Description, PartSpec, StackSpec
from peftsearch.backbones.fused_layout import fused_layout
from peftsearch.errors import ConfigError
from peftsearch.methods.base import SiteHost
from peftsearch.nearest import did_you_mean
from peftsearch.site import Site

_NO_CORE = "where its attention calls the attention function is not known"
_OWN_ATTENTION = "its attention does not call one of transformers' attention functions"
_NO_LAYOUT = "how its one map for queries, keys and values is laid out is not known"
_OTHER_NORM = "its norms are of a kind whose output without weight is not known"


def described_hosts(description: Description, model: nn.Module) -> list[SiteHost]:
    """Return the sites of a model, layer by layer.

    Raises:
        ConfigError: The description is for another type of model, or a module is not there.
    """
    config: Any = model.config
    if description.model_type not in ("", config.model_type):
        raise ConfigError(
            f"{description.source} describes models of type {description.model_type}, and this "
            f"one is of type {config.model_type}."
        )
    found: list[SiteHost] = []
    for name, stack in description.stacks.items():
        layers = list(layers_of(stack.layers, model))
        if not layers:
            message = (
                f"{description.source}: stacks.{name}.layers: the model has no {stack.layers}."
            )
            raise ConfigError(message, did_you_mean(stack.layers, _lists(model)))
        for index, layer in enumerate(layers):
            where = f"{description.source}: stacks.{name}"
            found += _layer(Site(name, index, ""), layer, stack, config, where)
    return found


def layers_of(pattern: str, model: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers that a path with ``{}`` stands for, from the model or its base model."""
    base = getattr(model, str(getattr(model, "base_model_prefix", "")), model)
    for root in (model, base):
        index = 0
        while (layer := _submodule(root, pattern.format(index))) is not None:
            yield layer
            index += 1
        if index:
            return


def _submodule(root: nn.Module, path: str) -> nn.Module | None:
    """Return a module by its path; ``None`` if there is none."""
    try:
        return root.get_submodule(path)
    except (AttributeError, TypeError):
        return None


def _lists(model: nn.Module) -> list[str]:
    """Return the patterns of all lists of modules."""
    named = model.named_modules()
    return [f"{name}.{{}}" for name, module in named if isinstance(module, nn.ModuleList)]


def _layer(
    place: Site, layer: nn.Module, stack: StackSpec, config: Any, where: str
) -> Iterator[SiteHost]:
    """Yield the sites of one layer."""
    norms = {}
    for part, spec in stack.parts.items():
        paths = {**spec.modules, **({"norm": spec.norm} if spec.norm else {})}
        modules = {
            name: _find(layer, path, f"{where}.{part}.{name}") for name, path in paths.items()
        }
        if spec.norm:
            norm = modules.pop("norm")
            if not isinstance(norm, nn.Identity):  # where a layer goes without
                norms[part] = norm
        if part == "feed_forward":
            host = SiteHost(Site(place.stack, place.layer, part, tuple(modules)), modules)
        else:
            core = _find(layer, spec.core, f"{where}.{part}.core") if spec.core else None
            host = _attention(place, part, modules, spec, core, config, where)
        _check_linear(host, f"{where}.{part}")
        yield host
    if norms:
        known = all(_is_known(norm) for norm in norms.values())
        refused = {} if known else {"layernorm": _OTHER_NORM}
        yield SiteHost(Site(place.stack, place.layer, "norm", tuple(norms), refused), norms)


def _attention(
    place: Site,
    part: str,
    modules: Mapping[str, nn.Module],
    spec: PartSpec,
    core: nn.Module | None,
    config: Any,
    where: str,
) -> SiteHost:
    refused = {}
    if core is None:
        refused["prefix"] = _NO_CORE
    elif not takes_prefixes(core):
        refused["prefix"] = _OWN_ATTENTION
    layout = "parts" if spec.widths or "qkv" not in modules else spec.layout
    if not layout and core is not None:
        layout = fused_layout(core)
        if not layout:
            refused.setdefault("prefix", _NO_LAYOUT)
    heads = spec.heads if isinstance(spec.heads, int) else getattr(config, spec.heads, None)
    if heads is None and core is not None:
        message = f"{where}.{part}.heads: the model's config has no {spec.heads}."
        raise ConfigError(message, "Give the number of key and value heads.")
    site = Site(place.stack, place.layer, part, tuple(modules), refused)
    return SiteHost(
        site,
        modules,
        core=core,
        num_heads=heads or 0,
        widths=spec.widths,
        by_heads=layout == "heads" and bool(heads),
    )


def takes_prefixes(core: nn.Module) -> bool:
    """Whether an attention module gets its attention function from transformers, by its config."""
    module = sys.modules[type(core).__module__]
    if not hasattr(core, "config") or not hasattr(module, "eager_attention_forward"):
        return False
    return "ALL_ATTENTION_FUNCTIONS" in inspect.getsource(type(core))


def _find(layer: nn.Module, path: str, where: str) -> nn.Module:
    found = _submodule(layer, path)
    if found is None:
        names = [name for name, _ in layer.named_modules() if name]
        raise ConfigError(f'{where}: a layer has no module "{path}".', did_you_mean(path, names))
    return found


def _check_linear(host: SiteHost, where: str) -> None:
    for name, module in host.modules.items():
        try:
            host.linear(name)
        except TypeError:
            kind = type(module).__name__
            message = f"{where}.{name} is of class {kind}, and must be a linear map."
            raise ConfigError(message) from None


def _is_known(norm: nn.Module) -> bool:
    """Whether LayerNorm tuning can compute what a norm does before its weight."""
    root_mean_square = "RMSNorm" in type(norm).__name__ and hasattr(norm, "variance_epsilon")
    return isinstance(norm, nn.LayerNorm) or root_mean_square
