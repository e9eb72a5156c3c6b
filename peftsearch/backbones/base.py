"""A backbone: a frozen transformers model and the list of its sites.

Place in the flow: task -> backbone -> sites. A family is one file with ``MODEL_TYPES`` and
``hosts(model)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

import torch
from torch import nn

from peftsearch.catalogue import families
from peftsearch.errors import ConfigError
from peftsearch.methods.base import SLOT, SiteHost
from peftsearch.nearest import did_you_mean
from peftsearch.site import Site

#: What transformers calls the heads of its models for sequences, tokens, choices and spans.
_HEADS = ("classifier", "classification_head", "qa_outputs")
Hosts = Callable[[nn.Module], list[SiteHost]]


def hosts_of(model: nn.Module) -> list[SiteHost]:
    """Return the sites of a transformers model, in the order of the forward pass.

    Raises:
        ConfigError: The model's family is not supported.
    """
    config: Any = model.config
    known = families()
    if config.model_type not in known:
        message = f'Models of type "{config.model_type}" are not supported.'
        hint = f"{did_you_mean(config.model_type, known)} peftsearch list models"
        raise ConfigError(message, hint)
    module = import_module(f"peftsearch.backbones.{known[config.model_type]}")
    return cast(Hosts, module.hosts)(model)


def head_kind(model: nn.Module) -> str:
    """Return what the head of an encoder answers for: ``sequence``, ``tokens`` or ``span``."""
    name = type(model).__name__
    kinds = {"ForTokenClassification": "tokens", "ForQuestionAnswering": "span"}
    return next((kind for end, kind in kinds.items() if name.endswith(end)), "sequence")


def is_inserted(name: str) -> bool:
    """Whether a parameter name belongs to an inserted layer and not to the backbone."""
    return f".{SLOT}." in f".{name}."


def head_prefixes(model: nn.Module) -> tuple[str, ...]:
    """Return the prefixes of the modules that are a task head.

    A language-model head is part of the checkpoint, not added for the task, so it does not
    count.
    """
    return tuple(f"{name}." for name, _ in model.named_children() if name in _HEADS)


def backbone_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield name and tensor of every backbone parameter, tied ones once, head left out."""
    heads = head_prefixes(model)
    for name, parameter in model.named_parameters():
        if not is_inserted(name) and not name.startswith(heads or ("\0",)):
            yield name, parameter


def head_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield name and tensor of every parameter of the task head."""
    heads = head_prefixes(model)
    for name, parameter in model.named_parameters():
        if not is_inserted(name) and name.startswith(heads or ("\0",)):
            yield name, parameter


@dataclass
class Backbone:
    """A frozen model with its sites; exactly one copy is ever held.

    Attributes:
        name: Model id or folder.
        model: The transformers model; its head, if any, is left trainable.
        tokenizer: Its tokenizer; ``None`` in a plan.
        hosts: Its sites.
    """

    name: str
    model: Any
    tokenizer: Any
    hosts: list[SiteHost]

    @property
    def sites(self) -> list[Site]:
        """The sites without their modules."""
        return [host.site for host in self.hosts]

    @property
    def family(self) -> str:
        """The transformers model type, e.g. ``t5``."""
        return str(self.model.config.model_type)

    @property
    def num_parameters(self) -> int:
        """Denominator of the budget: tied tensors once, head left out."""
        return sum(p.numel() for _, p in backbone_parameters(self.model))

    @property
    def num_head_parameters(self) -> int:
        """Parameters of the head that the run adds."""
        return sum(p.numel() for _, p in head_parameters(self.model))

    def reset_head(self, seed: int) -> None:
        """Draw the head anew: normal weights as transformers does, zero biases."""
        generator = torch.Generator().manual_seed(seed)
        std = getattr(self.model.config, "initializer_range", 0.02)
        for name, parameter in head_parameters(self.model):
            with torch.no_grad():
                if name.endswith("bias"):
                    parameter.zero_()
                else:
                    drawn = torch.randn(parameter.shape, generator=generator) * std
                    parameter.copy_(drawn)


def freeze(model: nn.Module) -> None:
    """Freeze the backbone and leave the head trainable."""
    for _, parameter in backbone_parameters(model):
        parameter.requires_grad_(False)
    for _, parameter in head_parameters(model):
        parameter.requires_grad_(True)


def wrap(name: str, model: nn.Module, tokenizer: Any = None) -> Backbone:
    """Freeze a model and find its sites.

    Raises:
        ConfigError: The model's family is not supported.
    """
    hosts = hosts_of(model)
    freeze(model)
    return Backbone(name, model, tokenizer, hosts)


def module_paths(model: nn.Module, modules: Sequence[nn.Module]) -> list[str]:
    """Return the dotted path of each module within the model."""
    names = {id(module): name for name, module in model.named_modules()}
    return [names[id(module)] for module in modules]
