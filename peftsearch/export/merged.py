"""A plain checkpoint with the trained differences folded into the backbone's own weights.

Whatever loads the backbone loads it: there is nothing left of an adapter, and nothing of this
package is needed. It is written in float32; what rounding it to bfloat16 costs is measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from peftsearch.architecture import Architecture
from peftsearch.backbones.base import Backbone
from peftsearch.backbones.loading import quiet
from peftsearch.export.base import (
    Bundle,
    Evidence,
    Problem,
    in_precision,
    largest_difference,
    logits_of,
    output_logits,
)
from peftsearch.export.patching import patched
from peftsearch.export.snippets import auto_class
from peftsearch.export.touched import Touched, touched
from peftsearch.methods.lora import SCALE

EXPORTER = {
    "name": "merged",
    "title": "a plain transformers checkpoint with everything merged into its weights",
    "holds": {
        "layernorm lora ia3": "",
        "bitfit": {
            "t5 mt5 umt5 longt5": "T5 has no biases that a trained one could be merged into",
            "modernbert": "ModernBERT has no biases that a trained one could be merged into",
            "llama mistral qwen2 qwen3 gemma gemma2 gemma3_text phi3 mixtral olmoe": (
                "this model lacks biases that a trained one could be merged into"
            ),
            "*": "",
        },
        "bitfit.attention": {
            "t5 mt5 umt5 longt5": "T5 has no biases that a trained one could be merged into",
            "modernbert": "ModernBERT has no biases that a trained one could be merged into",
            "llama mistral qwen2 qwen3 gemma gemma2 gemma3_text phi3 mixtral olmoe": (
                "this model lacks biases that a trained one could be merged into"
            ),
            "deberta": "DeBERTa's map of queries, keys and values has no bias to merge one into",
            "whisper": "Whisper's keys have no bias that a trained one could be merged into",
            "*": "",
        },
        "bitfit.cross_attention": {
            "t5 mt5 umt5 longt5": "T5 has no biases that a trained one could be merged into",
            "modernbert": "ModernBERT has no biases that a trained one could be merged into",
            "llama mistral qwen2 qwen3 gemma gemma2 gemma3_text phi3 mixtral olmoe": (
                "this model lacks biases that a trained one could be merged into"
            ),
            "whisper": "Whisper's keys have no bias that a trained one could be merged into",
            "*": "",
        },
        "adapter parallel_adapter": (
            "a bottleneck is not linear, so no weight of the backbone can hold it"
        ),
        "prefix": "a prefix adds keys and values, and no weight of the backbone can hold them",
    },
    "otherwise": "it is not known how to merge this method",
}
#: Larger checkpoints are written in several files.
SHARD = "5GB"


def problems(architecture: Architecture, backbone: Backbone) -> list[Problem]:
    """Return the biases that the backbone does not have."""
    modules = {host.site.id: host.modules for host in backbone.hosts}
    found = []
    for choice in architecture.active:
        if choice.method == "bitfit":
            there = modules.get(choice.site, {})  # an unknown site is refused when it is inserted
            bare = [n for n in choice.modules if getattr(there.get(n), "bias", None) is None]
            if bare:
                reason = f"the backbone has no bias at {', '.join(bare)} to merge one into"
                found.append(Problem(choice.site, choice.method, reason))
    return found


def write(bundle: Bundle, folder: Path) -> None:
    """Write the merged model, its config and what reads its rows, as transformers does."""
    model = bundle.backbone.model
    with patched(model, {**merged_tensors(bundle), **bundle.head}), quiet():
        model.save_pretrained(folder, max_shard_size=SHARD)
    if bundle.backbone.reader is not None:
        bundle.backbone.reader.save_pretrained(folder)


def merged_tensors(bundle: Bundle) -> dict[str, Tensor]:
    """Return the merged values of every parameter that changes, by parameter name."""
    return {
        f"{target.path}.{name}": tensor
        for target in touched(bundle, bundle.architecture.active)
        for name, tensor in _merged(target).items()
    }


def _merged(target: Touched) -> dict[str, Tensor]:
    """Return weight, and bias if there is one, of one module; summed in float64."""
    if target.part == "norm":
        return target.tuned_norm()
    weight = target.linear.weight.detach().cpu().double()
    bias = getattr(target.module, "bias", None)
    bias = None if bias is None else bias.detach().cpu().double()
    if target.A is not None and target.B is not None:
        weight = weight + SCALE * target.B.double() @ target.A.double()
    if target.scale is not None and target.on_input:
        weight = weight * target.scale
    elif target.scale is not None:
        weight = weight * target.scale[:, None]
        bias = None if bias is None else bias * target.scale
    stored = weight.t().contiguous() if target.transposed else weight
    if bias is None:
        return {"weight": stored.float()}
    return {
        "weight": stored.float(),
        "bias": (bias if target.bias is None else bias + target.bias).float(),
    }


def verify(bundle: Bundle, folder: Path) -> Evidence:
    """Load the folder with transformers alone, in float32 and rounded to bfloat16."""
    kind = type(bundle.backbone.model)
    # As the backbone computes: Gemma 2's soft caps are lost in some kinds of attention.
    attention = {"attn_implementation": bundle.backbone.model.config._attn_implementation}
    found = logits_of(_load(kind, folder, **attention), bundle.check_inputs)
    notes: dict[str, Any] = {"max_logit": float(bundle.check_logits.abs().max())}
    try:
        rounded = _half(_load(kind, folder, dtype=torch.bfloat16, **attention), bundle)
        notes["bf16_max_logit_difference"] = largest_difference(rounded, bundle.check_logits)
    except RuntimeError as error:  # DeBERTa of transformers multiplies float32 by bfloat16
        notes["bf16"] = f"this model does not compute in bfloat16: {str(error).splitlines()[0]}"
    return Evidence({"from_pretrained": found}, notes=notes)


def _load(kind: Any, folder: Path, **options: Any) -> Any:
    with quiet():
        return kind.from_pretrained(folder, **options)


@torch.no_grad()
def _half(model: Any, bundle: Bundle) -> Tensor:
    """Return the logits of a bfloat16 model as it computes by itself, without autocast."""
    batch = in_precision(bundle.check_inputs, torch.bfloat16)
    return output_logits(model.eval()(**batch)).float()


def snippet(bundle: Bundle, folder: Path) -> list[str]:
    """Return the lines that load the checkpoint with transformers alone."""
    auto = auto_class(bundle.backbone.model)
    return [
        f"from transformers import {auto}",
        f"model = {auto}.from_pretrained({str(folder)!r})",
    ]
