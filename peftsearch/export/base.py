"""What an exporter is given, what it offers, and how its result is verified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from peftsearch.architecture import Architecture
from peftsearch.backbones.base import Backbone
from peftsearch.catalogue import exporters
from peftsearch.errors import ConfigError
from peftsearch.nearest import did_you_mean

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Problem:
    """One choice that a target cannot express."""

    site: str
    method: str
    reason: str

    def to_json(self) -> dict[str, str]:
        """Return the form written into ``summary.json``."""
        return {"site": self.site, "method": self.method, "reason": self.reason}


@dataclass(frozen=True)
class Bundle:
    """A trained architecture, ready to be written.

    Attributes:
        architecture: The assignment.
        weights: Trained tensors by ``site/method/anchor/tensor``.
        head: Tensors of the task head by parameter name; empty without a head.
        backbone: The backbone, with nothing inserted.
        check_inputs: A small batch.
        check_logits: The logits of the trained model on it.
    """

    architecture: Architecture
    weights: Mapping[str, Tensor]
    head: Mapping[str, Tensor]
    backbone: Backbone
    check_inputs: Mapping[str, Tensor]
    check_logits: Tensor


# An exporter offers ``problems(architecture)``, ``write(bundle, folder)`` and
# ``logits(bundle, folder)``: the last loads what was written as a user of the target would.


def exporter(name: str) -> ModuleType:
    """Return the module of an exporter.

    Raises:
        ConfigError: There is none of this name.
    """
    if name not in exporters():
        hint = f"{did_you_mean(name, exporters())} peftsearch list exporters"
        raise ConfigError(f'export target "{name}" is not known.', hint)
    return import_module(f"peftsearch.export.{name}")


@torch.no_grad()
def logits_of(model: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    """Return a model's logits in evaluation mode, float32 on the CPU."""
    model.eval()
    device = next(model.parameters()).device
    half = any(p.dtype == torch.bfloat16 for p in model.parameters())
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        output = model(**{name: tensor.to(device) for name, tensor in inputs.items()})
    return output.logits.float().cpu()  # type: ignore[no-any-return]


def verify(bundle: Bundle, target: str, folder: Path) -> dict[str, Any]:
    """Load an export back and compare its logits with the trained model's.

    Returns:
        The content of ``check.json``.
    """
    found = exporter(target).logits(bundle, folder)
    difference = float((found - bundle.check_logits).abs().max())
    tolerance = TOLERANCE * max(1.0, float(bundle.check_logits.abs().max()))
    return {
        "format": 1,
        "target": target,
        "verified": difference <= tolerance,
        "max_logit_difference": difference,
        "tolerance": tolerance,
        "num_params": bundle.architecture.num_params,
    }
