"""The tensors of PEFT's folders as those of this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from peftsearch.errors import ExportError
from peftsearch.importing.peft import Folder, Trained
from peftsearch.methods.lora import SCALE


def weights_of(folders: Sequence[Folder], model: Any) -> dict[str, Tensor]:
    """Return tensors by ``site/method/anchor/tensor``, float32.

    LoRA's scale, whatever it was, becomes the one of this package: B takes the quotient.

    Args:
        folders: What was read, without problems.
        model: The plain backbone; norms and biases are stored as differences from its own.

    Raises:
        ExportError: A LoRA's tensors have another rank than its config, so it has no scale.
    """
    found: dict[str, Tensor] = {}
    for folder in folders:
        for one in folder.trained:
            prefix = f"{one.piece.site}/{one.piece.method}/{one.piece.module}/"
            tensors = _converted(one, folder.tensors, model.get_submodule(one.path))
            found |= {prefix + name: tensor.contiguous() for name, tensor in tensors.items()}
    return found


def head_of(folders: Sequence[Folder]) -> dict[str, Tensor]:
    """Return the tensors of the task head by parameter name; the last folder's count."""
    return {
        name: folder.tensors[key].float()
        for folder in folders
        for key, name in folder.head.items()
        if key in folder.tensors
    }


def _converted(one: Trained, tensors: Mapping[str, Tensor], module: Any) -> dict[str, Tensor]:
    """Return the tensors of one method on one module by the names that they have here."""
    given = {name: tensors[key].float().cpu() for name, key in one.keys.items()}
    if one.piece.method == "lora":
        if one.scale is None:
            raise ExportError(
                f"{one.path}: the tensors have rank {one.piece.size} and the config another, so "
                "PEFT itself does not load them.",
                "The architecture alone can be imported: leave out --native.",
            )
        return {"A": given["lora_A"], "B": given["lora_B"] * (one.scale / SCALE)}
    if one.piece.method == "ia3":
        return {"delta": given["ia3_l"].flatten() - 1}
    if one.piece.method == "bitfit":
        before = _own(module, "bias") if one.in_place else 0
        return {"delta": given["bias"].flatten() - before}
    return {name: tensor - _own(module, name) for name, tensor in given.items()}


def _own(module: Any, name: str) -> Tensor:
    return module.get_parameter(name).detach().float().cpu()  # type: ignore[no-any-return]
