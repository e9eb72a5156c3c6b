"""Hugging Face PEFT: architectures of one method among LoRA, IA3 and LayerNorm tuning.

Modules are named by their full paths, since PEFT's suffixes hit both stacks of a T5 or BART.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from peftsearch.architecture import Architecture, Choice
from peftsearch.backbones.base import Backbone, freeze, head_prefixes, module_paths
from peftsearch.errors import MissingError
from peftsearch.export.base import Bundle, Entry, Evidence, Problem, logits_of
from peftsearch.methods.lora import SCALE
from peftsearch.micro import MODEL_DIRS
from peftsearch.rundir import atomic_path

EXPORTER = {
    "name": "peft",
    "title": "Hugging Face PEFT: architectures of one method among LoRA, IA3 and LayerNorm",
    "holds": {
        "lora": "",
        "ia3": "",
        "layernorm": "",
        "adapter": "PEFT has no bottleneck adapter",
        "parallel_adapter": "PEFT has no bottleneck adapter",
        "prefix": (
            "PEFT's prefixes have one length in all layers, and none in T5's or BART's encoder"
        ),
        "bitfit": (
            "PEFT cannot add a bias where the backbone has none, or train single layers' biases"
        ),
    },
    "otherwise": "PEFT has no such method",
}
HELD = ("lora", "ia3", "layernorm")


def problems(architecture: Architecture, backbone: Backbone) -> list[Problem]:
    """Return the choices that do not share the one method, and an empty architecture."""
    found = []
    held = [c for c in architecture.active if c.method in HELD]
    if len({c.method for c in held}) > 1:
        reason = "one PEFT adapter holds one method, and this architecture mixes several"
        found = [Problem(c.site, c.method, reason) for c in held]
    if not architecture.active:
        found = [Problem("all sites", "none", "nothing was chosen, and PEFT needs one module")]
    return found


def write(bundle: Bundle, folder: Path) -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors``.

    Raises:
        MissingError: PEFT is not installed.
    """
    method = bundle.architecture.methods[0]
    targets = list(_targets(bundle))
    config = {"lora": _lora, "ia3": _ia3, "layernorm": _layernorm}[method](bundle, targets)
    config.base_model_name_or_path = bundle.architecture.model
    config.inference_mode = True
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(folder))
    tensors = {}
    for path, module, choice, weights in targets:
        for name, tensor in _tensors(method, module, choice, weights).items():
            tensors[f"base_model.model.{path}.{name}"] = tensor.contiguous()
    for name, tensor in bundle.head.items():
        tensors[f"base_model.model.{name}"] = tensor.contiguous()
    with atomic_path(folder / "adapter_model.safetensors") as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})


def verify(bundle: Bundle, folder: Path) -> Evidence:
    """Load the folder with PEFT itself."""
    peft = _peft()
    model = bundle.backbone.model
    before = [(module, dict(module._modules)) for module in model.modules()]
    with warnings.catch_warnings():
        # PEFT asks for a name that transformers has deprecated, and has its doubts about norms.
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        warnings.filterwarnings("ignore", "Unsupported layer type", UserWarning)
        wrapped = peft.PeftModel.from_pretrained(model, str(folder), is_trainable=True)
    try:
        trained = sum(p.numel() for p in wrapped.parameters() if p.requires_grad)
        head = sum(t.numel() for t in bundle.head.values())
        own = bundle.architecture
        entry = Entry(own.methods[0], own.num_params, trained - head)
        found = logits_of(wrapped, bundle.check_inputs)
        return Evidence({"PeftModel.from_pretrained": found}, (entry,))
    finally:
        # PEFT's own unload() leaves a copy or a wrapper in the place of a head, or fails on it.
        for module, children in before:
            module._modules.clear()
            module._modules.update(children)
        vars(model).pop("peft_config", None)
        freeze(model)


def snippet(bundle: Bundle, folder: Path) -> list[str]:
    """Return the lines that load the export with PEFT alone."""
    model = bundle.backbone.model
    auto = "AutoModelForSeq2SeqLM"
    labels = ""
    if not _is_seq2seq(model):
        auto = "AutoModelForSequenceClassification"
        labels = f", num_labels={model.config.num_labels}"
    name = bundle.architecture.model
    base, extra = repr(name), []
    if name in MODEL_DIRS:
        base, extra = f"MODEL_DIRS[{name!r}]", ["from peftsearch.micro import MODEL_DIRS"]
    return [
        "from peft import PeftModel",
        f"from transformers import {auto}",
        *extra,
        f"model = {auto}.from_pretrained({base}{labels})",
        f"model = PeftModel.from_pretrained(model, {str(folder)!r})",
    ]


Target = tuple[str, nn.Module, Choice, dict[str, Tensor]]


def _targets(bundle: Bundle) -> Iterator[Target]:
    """Yield path, module, choice and trained tensors of every module that is touched."""
    hosts = {host.site.id: host for host in bundle.backbone.hosts}
    for choice in bundle.architecture.active:
        for name in choice.modules:
            module = hosts[choice.site].modules[name]
            path = module_paths(bundle.backbone.model, [module])[0]
            prefix = f"{choice.site}/{choice.method}/{name}/"
            weights = {
                key[len(prefix) :]: tensor
                for key, tensor in bundle.weights.items()
                if key.startswith(prefix)
            }
            yield path, module, choice, weights


def _tensors(
    method: str, module: nn.Module, choice: Choice, weights: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Return PEFT's tensors of one module by PEFT's names."""
    if method == "lora":
        return {"lora_A.weight": weights["A"], "lora_B.weight": weights["B"]}
    if method == "ia3":
        scale = 1 + weights["delta"]
        on_input = choice.site.endswith("feed_forward")
        return {"ia3_l": scale[None, :] if on_input else scale[:, None]}
    return {
        f"ln_tuning_layers.{name}": module.get_parameter(name).detach().cpu().float() + delta
        for name, delta in weights.items()
    }


def _common(bundle: Bundle) -> dict[str, Any]:
    model = bundle.backbone.model
    if _is_seq2seq(model):
        return {"task_type": "SEQ_2_SEQ_LM"}
    heads = [prefix.rstrip(".") for prefix in head_prefixes(model)]
    return {"task_type": "SEQ_CLS", "modules_to_save": heads}


def _is_seq2seq(model: Any) -> bool:
    """Whether text is the answer: an encoder-decoder may also have a head for labels."""
    return bool(model.config.is_encoder_decoder) and not head_prefixes(model)


def _lora(bundle: Bundle, targets: list[Target]) -> Any:
    ranks = {path: choice.size for path, _, choice, _ in targets}
    least = min(ranks.values())
    others = {f"^{re.escape(path)}": rank for path, rank in ranks.items() if rank != least}
    return _peft().LoraConfig(
        r=least,
        lora_alpha=_alpha(least),
        target_modules=list(ranks),
        rank_pattern=others,
        alpha_pattern={path: _alpha(rank) for path, rank in others.items()},
        lora_dropout=0.0,
        bias="none",
        **_common(bundle),
    )


def _alpha(rank: int) -> float:
    """Return PEFT's alpha for our scale, which does not depend on the rank."""
    return SCALE * rank


def _ia3(bundle: Bundle, targets: list[Target]) -> Any:
    paths = [path for path, *_ in targets]
    inner = [path for path, _, choice, _ in targets if choice.site.endswith("feed_forward")]
    return _peft().IA3Config(target_modules=paths, feedforward_modules=inner, **_common(bundle))


def _layernorm(bundle: Bundle, targets: list[Target]) -> Any:
    return _peft().LNTuningConfig(target_modules=[p for p, *_ in targets], **_common(bundle))


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise MissingError("The package peft is not installed.", "pip install peft") from error
    return peft
