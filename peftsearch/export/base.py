"""What an exporter is given, what it offers, and what it shows.

An exporter is one file with a literal ``EXPORTER`` (see :class:`peftsearch.catalogue.ExporterCard`)
and four functions:

- ``problems(architecture, backbone)``: the choices that it cannot hold and that its declared
  table does not know of, because they hang on the model or on other choices;
- ``write(bundle, folder)``: fill an empty folder;
- ``verify(bundle, folder)``: load the folder as a user of the target would, and return what was
  seen as :class:`Evidence`;
- ``snippet(bundle, folder)``: the lines of Python that load the folder.

:mod:`peftsearch.export.writing` calls them in this order, and decides.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from peftsearch.architecture import Architecture
from peftsearch.backbones.base import Backbone, head_parameters
from peftsearch.catalogue import exporters
from peftsearch.errors import ConfigError
from peftsearch.injection import insert_architecture, remove_all, state
from peftsearch.nearest import did_you_mean

#: Largest difference of a logit, relative to the largest logit where that is above one.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Problem:
    """One choice that a target cannot hold.

    Attributes:
        site: Site id, or ``"head"``, or ``"all sites"``.
        method: Method name.
        reason: Why not, as part of a sentence.
    """

    site: str
    method: str
    reason: str

    def to_json(self) -> dict[str, str]:
        """Return the form written into ``summary.json``."""
        return {"site": self.site, "method": self.method, "reason": self.reason}


@dataclass(frozen=True)
class Bundle:
    """An architecture with its weights, ready to be written.

    Attributes:
        architecture: The assignment.
        weights: Tensors by ``site/method/anchor/tensor``.
        head: Tensors of the task head by parameter name; empty without a head.
        backbone: The backbone in float32, with nothing inserted.
        check_inputs: A small batch.
        check_logits: The logits of the model with the weights inserted on it, float32.
        trained: Whether the weights were trained; fresh ones otherwise.
        python: Interpreter in which the target can be imported, where this one cannot.
        rounded: How the backbone's weights were kept in training, if not as they are here.
    """

    architecture: Architecture
    weights: Mapping[str, Tensor]
    head: Mapping[str, Tensor]
    backbone: Backbone
    check_inputs: Mapping[str, Tensor]
    check_logits: Tensor
    trained: bool = True
    python: Path | None = None
    rounded: str = ""

    def of(self, site: str, method: str, anchor: str) -> dict[str, Tensor]:
        """Return the tensors of one method on one module by their own names."""
        prefix = f"{site}/{method}/{anchor}/"
        return {k[len(prefix) :]: t for k, t in self.weights.items() if k.startswith(prefix)}


@dataclass(frozen=True)
class Entry:
    """One part of an export that is trained as a whole, e.g. one adapter folder.

    Attributes:
        name: What it is called in the export.
        num_params: Parameters that the architecture trains there.
        trained: Parameters that the target trains there.
        why: Why the two differ; an unexplained difference means that the export is wrong.
    """

    name: str
    num_params: int
    trained: int
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the form written into ``check.json``."""
        shown = {"name": self.name, "num_params": self.num_params, "trained": self.trained}
        return {**shown, "why": self.why} if self.why else shown


@dataclass(frozen=True)
class Evidence:
    """What was seen when an export was loaded back.

    Attributes:
        logits: Logits of the check input, by the way in which the export was loaded.
        entries: Trainable parameters as counted by the target; empty where nothing can be
            trained.
        notes: Further figures and sentences for ``check.json``.
        wanted: What the logits should be where they are not those of the trained weights, as in
            an export that starts a training.
    """

    logits: Mapping[str, Tensor]
    entries: tuple[Entry, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    wanted: Tensor | None = None


class Exporter(Protocol):
    """The functions of an exporter's module."""

    def problems(self, architecture: Architecture, backbone: Backbone) -> list[Problem]:
        """Return what the target cannot hold beyond its declared table."""

    def write(self, bundle: Bundle, folder: Path) -> None:
        """Fill an empty folder."""

    def verify(self, bundle: Bundle, folder: Path) -> Evidence:
        """Load the folder in the target."""

    def snippet(self, bundle: Bundle, folder: Path) -> list[str]:
        """Return lines of Python that load the folder."""


def exporter(name: str) -> Exporter:
    """Return the module of an exporter.

    Raises:
        ConfigError: There is none of this name.
    """
    if name not in exporters():
        hint = f"{did_you_mean(name, exporters())} peftsearch list exporters"
        raise ConfigError(f'export target "{name}" is not known.', hint)
    return cast(Exporter, import_module(exporters()[name].source))


@torch.no_grad()
def logits_of(model: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    """Return a model's logits in evaluation mode, float32 on the CPU."""
    model.eval()
    device = next(model.parameters()).device
    half = any(p.dtype == torch.bfloat16 for p in model.parameters())
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        output = model(**{name: tensor.to(device) for name, tensor in inputs.items()})
    return output_logits(output).float().cpu()


def in_precision(batch: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Return a batch with its images and sounds in a precision; ids and masks stay as they are."""
    return {n: t.to(dtype) if t.is_floating_point() else t for n, t in batch.items()}


def output_logits(output: Any) -> Tensor:
    """Return the logits of a model's output; those of begin and end as the last dimension.

    Of a model with two towers they are the scores of all pairs (images, texts).
    """
    if "start_logits" in output:
        return torch.stack([output.start_logits, output.end_logits], dim=-1)
    if "logits_per_image" in output:
        return output.logits_per_image  # type: ignore[no-any-return]
    return output.logits  # type: ignore[no-any-return]


def forward_arguments(model: Any, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a batch that the model's forward knows, not those of the format."""
    known = inspect.signature(type(model).forward).parameters
    return {name: tensor for name, tensor in batch.items() if name in known}


def largest_difference(found: Tensor, wanted: Tensor) -> float:
    """Return the largest difference of two logits; infinite where the shapes differ."""
    if found.shape != wanted.shape:
        return float("inf")
    difference = (found - wanted).abs().max()
    return float("inf") if bool(difference.isnan()) else float(difference)


def untrained(
    architecture: Architecture, backbone: Backbone, inputs: Mapping[str, Tensor]
) -> Bundle:
    """Return a bundle of fresh weights, which leave the output as it is, and the fresh head.

    Prefixes are the exception: see ``identity_at_start`` of the method.
    """
    model = backbone.model.float()
    insertions = insert_architecture(backbone.hosts, architecture)
    try:
        weights, logits = state(insertions), logits_of(model, inputs)
    finally:
        remove_all(insertions)
    head = {name: p.detach().cpu().clone() for name, p in head_parameters(model)}
    return Bundle(architecture, weights, head, backbone, inputs, logits, trained=False)
