"""A backbone: a frozen transformers model and the list of its sites.

Place in the flow: task -> backbone -> sites. A family is one file with ``MODEL_TYPES`` and
``hosts(model)``; models without one are described by the user, or inspected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

import torch
from torch import nn

from peftsearch.backbones.described import described_hosts
from peftsearch.backbones.description import Description
from peftsearch.backbones.inspection import inspect_model, notice
from peftsearch.catalogue import families
from peftsearch.methods.base import SLOT, SiteHost
from peftsearch.methods.linear_map import number_of_weights
from peftsearch.site import Site

#: What transformers calls the heads of its models for sequences, tokens, choices and spans.
_HEADS = (
    "classifier",
    "classification_head",
    "qa_outputs",
    "score",
    "cls_classifier",  # DeiT has two where it was distilled
    "distillation_classifier",
)
#: What stands beside the base model in front of these, as part of the head (DistilBERT, DeBERTa).
_BEFORE_HEADS = ("pre_classifier", "pooler")
Hosts = Callable[[nn.Module], list[SiteHost]]


def hosts_of(model: nn.Module) -> list[SiteHost]:
    """Return the sites of a transformers model, in the order of the forward pass.

    They are found by the description that :func:`describe` gave the model, or by the file of its
    family, or by inspection.

    Raises:
        ConfigError: The model is of no known family, and not enough of it is recognised.
    """
    description = description_of(model)
    if description is not None:
        return described_hosts(description, model)
    config: Any = model.config
    module = import_module(f"peftsearch.backbones.{families()[config.model_type]}")
    return cast(Hosts, module.hosts)(model)


def describe(model: Any, description: Description | None) -> None:
    """Say where the parts of a model stand; it is remembered with the model."""
    if description is not None:
        model.peftsearch_description = description


def description_of(model: Any) -> Description | None:
    """Return a model's description, by inspection if its family is unknown, else ``None``.

    Raises:
        ConfigError: Inspection does not recognise enough.
    """
    given: Description | None = getattr(model, "peftsearch_description", None)
    if given is None and model.config.model_type not in families():
        return inspect_model(model)
    return given


def head_kind(model: nn.Module) -> str:
    """Return what a model answers for, as a key of :data:`~peftsearch.backbones.loading.HEADS`."""
    name = type(model).__name__
    if getattr(model, "main_input_name", "") == "input_features":
        return "speech"
    kinds = {
        "ForTokenClassification": "tokens",
        "ForQuestionAnswering": "span",
        "ForImageClassification": "image",
        "ForImageClassificationWithTeacher": "image",
        "CLIPModel": "pair",
        "SiglipModel": "pair",
    }
    return next((kind for end, kind in kinds.items() if name.endswith(end)), "sequence")


def is_inserted(name: str) -> bool:
    """Whether a parameter name belongs to an inserted layer and not to the backbone."""
    return f".{SLOT}." in f".{name}."


def head_prefixes(model: nn.Module) -> tuple[str, ...]:
    """Return the prefixes of the modules that are a task head.

    A language-model head is part of the checkpoint, not added for the task, so it does not
    count.
    """
    names = [name for name, _ in model.named_children()]
    heads = _HEADS + (_BEFORE_HEADS if any(name in _HEADS for name in names) else ())
    return tuple(f"{name}." for name in names if name in heads)


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
        reader: What reads rows for it: its tokenizer, its image processor, or a processor that
            holds several; ``None`` in a plan.
        hosts: Its sites.
        description: How they were found, where its family has no file or one was given.
    """

    name: str
    model: Any
    reader: Any
    hosts: list[SiteHost]
    description: Description | None = None

    @property
    def notice(self) -> str:
        """What a user is told of a model that was inspected; empty for any other."""
        if self.description is None or hasattr(self.model, "peftsearch_description"):
            return ""
        layers = {(site.stack, site.layer) for site in self.sites}
        return notice(self.description, Counter(stack for stack, _ in layers))

    @property
    def sites(self) -> list[Site]:
        """The sites without their modules."""
        return [host.site for host in self.hosts]

    @property
    def rows_alike(self) -> bool:
        """Whether all rows of a batch must run the same architecture, see :class:`SiteHost`."""
        return any(host.rows_alike for host in self.hosts)

    @property
    def family(self) -> str:
        """The transformers model type, e.g. ``t5``."""
        return str(self.model.config.model_type)

    @property
    def num_parameters(self) -> int:
        """Denominator of the budget: tied tensors once, head left out."""
        return sum(number_of_weights(p) for _, p in backbone_parameters(self.model))

    @property
    def num_head_parameters(self) -> int:
        """Parameters of the head that the run adds."""
        return sum(p.numel() for _, p in head_parameters(self.model))

    def reset_head(self, seed: int, start: float = 0.0) -> None:
        """Draw the head anew: normal weights as transformers does, zero biases.

        Args:
            seed: Of the draw.
            start: The bias of a single output: what a regression says before it has learnt
                anything. From 0 a head needs more steps to reach the mean than it has.
        """
        generator = torch.Generator().manual_seed(seed)
        std = getattr(self.model.config, "initializer_range", 0.02)
        for name, parameter in head_parameters(self.model):
            with torch.no_grad():
                if name.endswith("bias"):
                    parameter.fill_(start if parameter.numel() == 1 else 0.0)
                else:
                    drawn = torch.randn(parameter.shape, generator=generator) * std
                    parameter.copy_(drawn)


def freeze(model: nn.Module) -> None:
    """Freeze the backbone and leave the head trainable."""
    for _, parameter in backbone_parameters(model):
        parameter.requires_grad_(False)
    for _, parameter in head_parameters(model):
        parameter.requires_grad_(True)


def wrap(
    name: str, model: nn.Module, reader: Any = None, description: Description | None = None
) -> Backbone:
    """Freeze a model and find its sites, by a description if there is one.

    Raises:
        ConfigError: The model is not recognised, or is not as it is described.
    """
    describe(model, description)
    hosts = hosts_of(model)
    freeze(model)
    return Backbone(name, model, reader, hosts, description_of(model))


def module_paths(model: nn.Module, modules: Sequence[nn.Module]) -> list[str]:
    """Return the dotted path of each module within the model."""
    names = {id(module): name for name, module in model.named_modules()}
    return [names[id(module)] for module in modules]
