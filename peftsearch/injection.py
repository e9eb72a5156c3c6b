"""Put an architecture on a model, take it off again, save and load what was trained.

Place in the flow: architecture -> model. The same functions serve the supernet, retraining,
the exporters and ``peftsearch.apply``.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from peftsearch.architecture import Architecture, Choice
from peftsearch.backbones.base import freeze, hosts_of
from peftsearch.catalogue import method_facts, method_order
from peftsearch.errors import ConfigError
from peftsearch.methods import builder
from peftsearch.methods.base import PeftLayer, SiteHost, insert, remove
from peftsearch.nearest import did_you_mean
from peftsearch.saving import CleanSaving
from peftsearch.site import Site
from peftsearch.space import Cost


@dataclass(frozen=True)
class Insertion:
    """One choice as it stands on a model.

    Attributes:
        choice: What was inserted.
        layers: The layers by anchor (a module of the site, or ``core``).
        anchors: The host modules by the same names.
    """

    choice: Choice
    layers: dict[str, PeftLayer]
    anchors: dict[str, nn.Module]

    @property
    def key(self) -> str:
        """Name of the layers on their hosts."""
        return layer_key(self.choice)

    def tensors(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield ``site/method/anchor/tensor`` and the parameter, in a fixed order."""
        for anchor, layer in self.layers.items():
            for name, parameter in layer.named_parameters():
                yield f"{self.choice.site}/{self.choice.method}/{anchor}/{name}", parameter

    @property
    def num_params(self) -> int:
        """Parameters of the tensors really there."""
        return sum(parameter.numel() for _, parameter in self.tensors())


def layer_key(choice: Choice) -> str:
    """Return the name of a choice's layers on their hosts, e.g. ``lora_q_v``."""
    return "_".join((choice.method, *choice.modules))


def insert_choice(host: SiteHost, choice: Choice) -> Insertion:
    """Build the layers of one choice and put them on the modules of its site."""
    layers = builder(choice.method)(host, choice.modules, choice.size)
    insertion = Insertion(choice, layers, {name: host.anchors[name] for name in layers})
    for name, layer in layers.items():
        insert(insertion.anchors[name], insertion.key, layer, method_order(choice.method))
    return insertion


def remove_all(insertions: Sequence[Insertion]) -> None:
    """Take layers off their hosts; the model is then as it was."""
    for insertion in insertions:
        for name in insertion.layers:
            remove(insertion.anchors[name], insertion.key)


def count(host: SiteHost, method: str, modules: tuple[str, ...], size: int) -> int:
    """Count a candidate's parameters from the tensors it creates, on the meta device."""
    layers = builder(method)(on_meta(host), modules, size)
    return sum(p.numel() for layer in layers.values() for p in layer.parameters())


def on_meta(host: SiteHost) -> SiteHost:
    """Return a host whose modules hold no storage, for counting."""
    with torch.device("meta"):
        modules = {name: _shape_of(module) for name, module in host.modules.items()}
    return replace(host, modules=modules, key_norm=None)


def _shape_of(module: nn.Module) -> nn.Module:
    """Return a module of the same shape on the current default device."""
    bias = getattr(module, "bias", None) is not None
    if isinstance(module, nn.Linear):
        return nn.Linear(module.in_features, module.out_features, bias=bias)
    if isinstance(module, nn.LayerNorm):
        return nn.LayerNorm(module.normalized_shape, bias=bias)
    if isinstance(module, Conv1D):
        return Conv1D(module.nf, module.nx)  # type: ignore[no-untyped-call]
    norm: Any = type(module)
    return norm(module.get_parameter("weight").shape[0])  # type: ignore[no-any-return]


def cost_function(hosts: Sequence[SiteHost]) -> Cost:
    """Return ``cost(site, method, modules, size)`` over the sites of a model.

    Sites of equal shape cost the same, so each shape is counted once.
    """
    shapes = {host.site: signature(host) for host in hosts}
    examples = {shapes[host.site]: host for host in hosts}
    known: dict[Hashable, int] = {}

    def cost(site: Site, method: str, modules: tuple[str, ...], size: int) -> int:
        key = (shapes[site], method, modules, size)
        if key not in known:
            known[key] = count(examples[shapes[site]], method, modules, size)
        return known[key]

    return cost


def signature(host: SiteHost) -> Hashable:
    """Return what a candidate's cost may depend on: the part, heads, kinds and shapes."""
    modules = tuple(
        (
            name,
            type(module),
            # In 4 bits the shape of the weight is not that of the map.
            (getattr(module, "in_features", 0), getattr(module, "out_features", 0)),
            tuple((n, p.shape) for n, p in module.named_parameters()),
        )
        for name, module in host.modules.items()
    )
    return host.site.part, host.num_heads, host.widths, modules


def insert_architecture(hosts: Sequence[SiteHost], architecture: Architecture) -> list[Insertion]:
    """Put every choice on its site and check the count.

    Raises:
        ConfigError: A site or method is not there, or the tensors do not add up to what the
            architecture says, in which case nothing stays inserted.
    """
    by_id = {host.site.id: host for host in hosts}
    _check(architecture, by_id)
    insertions: list[Insertion] = []
    try:
        for choice in architecture.active:
            insertions.append(insert_choice(by_id[choice.site], choice))
            _check_count(insertions[-1])
    except BaseException:
        remove_all(insertions)
        raise
    return insertions


def _check_count(insertion: Insertion) -> None:
    choice = insertion.choice
    if insertion.num_params != choice.num_params:
        raise ConfigError(
            f"{choice.site}: {choice.method} creates {insertion.num_params:,} parameters on this "
            f"model; the architecture says {choice.num_params:,}. Was it found on a model of "
            "another shape?"
        )


def _check(architecture: Architecture, by_id: dict[str, SiteHost]) -> None:
    problems: list[ConfigError] = []
    seen: set[tuple[str, str, str]] = set()
    for choice in architecture.active:
        if choice.site not in by_id:
            message = f"The model has no site {choice.site}."
            problems.append(ConfigError(message, did_you_mean(choice.site, by_id)))
            continue
        if choice.method not in method_facts():
            message = f'{choice.site}: method "{choice.method}" is not known.'
            problems.append(ConfigError(message, did_you_mean(choice.method, method_facts())))
        elif choice.method in by_id[choice.site].site.refused:
            reason = by_id[choice.site].site.refused[choice.method]
            message = f"{choice.site}: {choice.method} is not possible here: {reason}."
            problems.append(ConfigError(message))
        elif by_id[choice.site].site.part not in method_facts()[choice.method].modules:
            message = f"{choice.site}: {choice.method} does not attach to this part of a layer."
            problems.append(ConfigError(message))
        keys = {(choice.site, choice.method, name) for name in choice.modules}
        if keys & seen:  # their tensors would have the same names
            message = f"{choice.site}: {choice.method} stands there twice on the same modules."
            problems.append(ConfigError(message))
        seen |= keys
        modules = by_id[choice.site].modules
        for name in choice.modules:
            if name not in modules:
                message = f'{choice.site} has no module "{name}".'
                problems.append(ConfigError(message, did_you_mean(name, modules)))
    if problems:
        raise ConfigError.collected(problems)


def apply(model: Any, architecture: Architecture) -> Any:
    """Freeze a transformers model and insert an architecture; everything else stays as it is.

    The model keeps its class, ``forward`` and ``generate``; every backbone parameter keeps its
    name. Train it with any trainer. ``save_pretrained`` writes a checkpoint of the backbone alone
    and the inserted layers beside it, see :mod:`peftsearch.saving`.

    Args:
        model: Any supported transformers model, without inserted layers.
        architecture: What to insert.

    Returns:
        The same model.

    Raises:
        ConfigError: The model has none of the sites, or has layers inserted already.
    """
    if hasattr(model, "peftsearch_architecture"):
        message = "This model has an architecture applied already."
        raise ConfigError(message, "peftsearch.unapply(model)")
    insertions = insert_architecture(hosts_of(model), architecture)
    freeze(model)
    model.peftsearch_insertions = insertions
    model.peftsearch_architecture = architecture
    model.save_pretrained = CleanSaving(model)
    return model


def unapply(model: Any) -> Any:
    """Take an applied architecture off again; the backbone stays frozen."""
    remove_all(insertions_of(model))
    for name in ("peftsearch_insertions", "peftsearch_architecture", "save_pretrained"):
        vars(model).pop(name, None)
    return model


def insertions_of(model: Any) -> list[Insertion]:
    """Return what :func:`apply` inserted; empty if nothing."""
    return getattr(model, "peftsearch_insertions", [])


def state(insertions: Sequence[Insertion]) -> dict[str, Tensor]:
    """Return the trained tensors by ``site/method/anchor/tensor``, detached, on the CPU."""
    return {
        name: parameter.detach().cpu().contiguous()
        for insertion in insertions
        for name, parameter in insertion.tensors()
    }


def load_state(insertions: Sequence[Insertion], tensors: dict[str, Tensor]) -> None:
    """Copy tensors into inserted layers; names and shapes must agree exactly.

    Raises:
        ConfigError: A tensor is missing, unknown or of another shape.
    """
    there = {name: p for insertion in insertions for name, p in insertion.tensors()}
    if set(there) != set(tensors):
        wrong = ", ".join(sorted(set(there) ^ set(tensors))[:3])
        raise ConfigError(f"The weights do not belong to this architecture (first: {wrong}).")
    for name, parameter in there.items():
        if parameter.shape != tensors[name].shape:
            raise ConfigError(
                f"{name} has shape {tuple(tensors[name].shape)}, "
                f"the architecture needs {tuple(parameter.shape)}."
            )
        with torch.no_grad():
            parameter.copy_(tensors[name])
