"""LoRA for servers: one rank for all modules, the scale in B, no patterns.

Servers that load PEFT's LoRA files read one rank and one alpha and pass over the patterns. A
mixed file is wrong there without an error. Here every A and B is padded with zeros to the largest
rank R, B is multiplied by the scale, and alpha = R, so that each rule of scaling gives one:
alpha / r of the config, alpha / rank of the tensor, and PEFT's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from peftsearch.architecture import Architecture
from peftsearch.backbones.base import Backbone, head_prefixes
from peftsearch.export import peft
from peftsearch.export.base import Bundle, Entry, Evidence, Problem, logits_of
from peftsearch.export.patching import patched
from peftsearch.export.snippets import backbone_lines
from peftsearch.export.touched import Touched, touched
from peftsearch.methods.lora import SCALE

EXPORTER = {
    "name": "peft-serving",
    "title": "LoRA of one rank, for servers that ignore PEFT's patterns",
    "holds": {
        "lora": {
            "bert": "servers refuse an adapter with a head for labels; take merged",
            "roberta": "servers refuse an adapter with a head for labels; take merged",
            "vit deit swin clip siglip": "servers load adapters of models that write text",
            "*": "",
        },
    },
    "otherwise": "servers load LoRA and nothing else",
}
_PREFIX, _A, _B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"


def problems(architecture: Architecture, backbone: Backbone) -> list[Problem]:
    """Return what the table does not know: an empty adapter, and a head."""
    found = []
    if not architecture.active:
        reason = "nothing was chosen, and an adapter needs one module"
        found.append(Problem("all sites", "none", reason))
    if head_prefixes(backbone.model):
        reason = "servers refuse an adapter with a head for labels; take merged"
        found.append(Problem("head", "head", reason))
    return found


def write(bundle: Bundle, folder: Path) -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors``."""
    targets = touched(bundle, bundle.architecture.active)
    rank = max(target.rank for target in targets)
    part = peft.Part("lora", "lora_", targets, ("lora",))
    config = peft.config_of(part, bundle.backbone.model)
    config.r = config.lora_alpha = rank
    config.rank_pattern, config.alpha_pattern = {}, {}
    config.base_model_name_or_path = bundle.architecture.model
    config.inference_mode = True
    config.save_pretrained(str(folder))
    tensors: dict[str, Tensor] = {}
    for target in targets:
        tensors |= _padded(target, rank)
    save_file(tensors, folder / peft.WEIGHTS, metadata={"format": "pt"})


def _padded(target: Touched, rank: int) -> dict[str, Tensor]:
    """Return A (rank, D_in) and B (D_out, rank) of one module under PEFT's names."""
    assert target.A is not None
    assert target.B is not None
    more = rank - target.rank
    name = _PREFIX + target.path
    return {
        name + _A: functional.pad(target.A, (0, 0, 0, more)).contiguous(),
        name + _B: functional.pad(SCALE * target.B, (0, more)).contiguous(),
    }


def verify(bundle: Bundle, folder: Path) -> Evidence:
    """Load the folder with PEFT, and by the two rules of scaling that servers follow."""
    config = json.loads((folder / peft.CONFIG).read_text(encoding="utf-8"))
    alpha, r = float(config["lora_alpha"]), int(config["r"])
    with peft.chained(bundle.backbone.model, [folder]) as model:
        logits = {"PeftModel.from_pretrained": logits_of(model, bundle.check_inputs)}
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    logits["alpha / r"] = _served(bundle, folder, lambda rank: alpha / r)
    logits["alpha / rank of the tensor"] = _served(bundle, folder, lambda rank: alpha / rank)
    own, targets = bundle.architecture.num_params, touched(bundle, bundle.architecture.active)
    padded = r * sum(sum(target.module.get_parameter("weight").shape) for target in targets)
    why = f"ranks are padded to {r}" if trained == padded != own else ""
    return Evidence(logits, (Entry("lora", own, trained, why),))


def _served(bundle: Bundle, folder: Path, scale: Callable[[int], float]) -> Tensor:
    """Return the logits with the file's tensors added to the weights at a scale."""
    model: Any = bundle.backbone.model
    tensors, changed = load_file(folder / peft.WEIGHTS), {}
    for key, first in tensors.items():
        if not key.endswith(_A):
            continue
        path = key[len(_PREFIX) : -len(_A)]
        second = tensors[_PREFIX + path + _B]
        weight = model.get_parameter(f"{path}.weight").detach().cpu()
        update = scale(len(first)) * second @ first
        stored = isinstance(model.get_submodule(path), Conv1D)  # the other way round
        changed[f"{path}.weight"] = weight + (update.t() if stored else update)
    with torch.no_grad(), patched(model, changed):
        return logits_of(model, bundle.check_inputs)


def snippet(bundle: Bundle, folder: Path) -> list[str]:
    """Return the lines that load the export with PEFT; servers are given the folder."""
    return [
        "from peft import PeftModel",
        *backbone_lines(bundle),
        f"model = PeftModel.from_pretrained(model, {str(folder)!r})",
    ]
