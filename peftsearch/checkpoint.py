"""Checkpoints: one safetensors file with tensors and, in its header, JSON; written atomically.

Every loop draws its random numbers from a seed of the step, so tensors and the step are the
whole state: there is no random state to save.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from peftsearch.rundir import atomic_path

_KEY = "peftsearch"


def save(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write tensors and a JSON-able mapping."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(flat, temporary, metadata={_KEY: json.dumps(meta)})


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save` wrote."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        meta = json.loads((file.metadata() or {}).get(_KEY, "{}"))
    return tensors, meta


def optimiser_state(
    optimiser: torch.optim.Optimizer, named: Mapping[str, nn.Parameter]
) -> dict[str, Tensor]:
    """Return Adam's state of the named parameters as ``adam/<entry>/<name>``."""
    return {
        f"adam/{entry}/{name}": torch.as_tensor(value)
        for name, parameter in named.items()
        for entry, value in optimiser.state.get(parameter, {}).items()
    }


def restore_optimiser(
    optimiser: torch.optim.Optimizer,
    named: Mapping[str, nn.Parameter],
    tensors: Mapping[str, Tensor],
) -> None:
    """Put back what :func:`optimiser_state` returned."""
    for key, value in tensors.items():
        prefix, _, rest = key.partition("/")
        entry, _, name = rest.partition("/")
        if prefix == "adam" and name in named:
            parameter = named[name]
            device = parameter.device if entry != "step" else value.device
            optimiser.state[parameter][entry] = value.clone().to(device)


@torch.no_grad()
def restore_weights(named: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]) -> None:
    """Copy the tensors of the named parameters back."""
    for name, parameter in named.items():
        parameter.copy_(tensors[name])
