"""AdapterHub's adapters 1.3: LoRA, bottlenecks, IA3 and prefixes as a stack of adapters.

That library runs beside transformers 4.57 only, so an export is loaded and verified in an
interpreter of its own (``--target-python``). What is written is that library's own form of a
setup: ``adapter_setup.json`` and a folder for each adapter.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from peftsearch.backbones.loading import source_of
from peftsearch.errors import ExportError
from peftsearch.export.adapters_groups import adapters_of
from peftsearch.export.adapters_rules import check_signs, problems
from peftsearch.export.adapters_target import loading_options, look, python_of
from peftsearch.export.base import Bundle, Evidence
from peftsearch.export.snippets import auto_class
from peftsearch.rundir import write_json

__all__ = ["EXPORTER", "problems", "snippet", "verify", "write"]

EXPORTER = {
    "name": "adapters",
    "title": "AdapterHub adapters: LoRA, bottlenecks, IA3 and prefixes as a stack of adapters",
    "holds": {
        "lora ia3 adapter": {
            "albert bart bert clip deberta-v2 distilbert electra gemma2 gemma3_text gpt2 llama "
            "mbart mistral mt5 phi plbart qwen2 qwen3 roberta t5 vit whisper xlm-roberta": "",
            "deberta modernbert": (
                "adapters adds a random bias to the map of queries, keys and values, which has none"
            ),
            "*": "adapters does not know this type of model",
        },
        "lora.attention ia3.attention": {
            "albert bart bert clip deberta-v2 distilbert electra gemma2 gemma3_text llama mbart "
            "mistral mt5 phi plbart qwen2 qwen3 roberta t5 vit whisper xlm-roberta": "",
            "gpt2": (
                "adapters runs it on one map for queries, keys and values only while no other "
                "adapter is active"
            ),
            "deberta modernbert": (
                "adapters adds a random bias to the map of queries, keys and values, which has none"
            ),
            "*": "adapters does not know this type of model",
        },
        "adapter.attention": {
            "bart bert clip deberta-v2 distilbert electra gemma2 gemma3_text gpt2 llama "
            "mbart mistral mt5 phi plbart qwen2 qwen3 roberta t5 vit whisper xlm-roberta": "",
            "albert": (
                "adapters feeds the bottleneck from the input of ALBERT's attention, not from its "
                "output"
            ),
            "deberta modernbert": (
                "adapters adds a random bias to the map of queries, keys and values, which has none"
            ),
            "*": "adapters does not know this type of model",
        },
        "parallel_adapter": {
            "albert bart bert deberta-v2 distilbert electra plbart roberta xlm-roberta": "",
            "clip gemma2 gemma3_text gpt2 llama mbart mistral mt5 qwen2 qwen3 t5 vit whisper": (
                "adapters feeds a parallel bottleneck from before the norm, which is not the "
                "feed-forward's input in models with the norm in front"
            ),
            "phi": "adapters has nothing to feed a parallel bottleneck from where attention and "
            "feed-forward stand side by side",
            "deberta modernbert": (
                "adapters adds a random bias to the map of queries, keys and values, which has none"
            ),
            "*": "adapters does not know this type of model",
        },
        "prefix": {
            "albert bart bert clip electra mbart plbart roberta vit whisper xlm-roberta": "",
            "t5 mt5": "adapters shifts the relative position bias by the length of a prefix",
            "distilbert": "adapters adds one to the scores of a prefix where a batch has padding",
            "deberta-v2": "a prefix has no relative position, by which DeBERTa scores every key",
            "gpt2 llama mistral": (
                "adapters gets the causal mask beside a prefix wrong, except with eager attention"
            ),
            "gemma2 gemma3_text phi qwen2 qwen3": "adapters has no prefixes in this type of model",
            "deberta modernbert": (
                "adapters adds a random bias to the map of queries, keys and values, which has none"
            ),
            "*": "adapters does not know this type of model",
        },
        "prefix.cross_attention": {
            "encoders decoders bart mbart mt5 plbart t5 whisper": (
                "adapters has prefixes there only together with self-attention's"
            ),
            "*": "adapters does not know this type of model",
        },
        "layernorm": "adapters does not train norms",
        "bitfit": "adapters does not train biases",
    },
    "otherwise": "adapters has no such method",
}
#: The version of that library whose files these are.
VERSION = "adapters.1.3.0"


def write(bundle: Bundle, folder: Path) -> None:
    """Write a setup of that library: a stack, a folder for each adapter, the head.

    Raises:
        ExportError: A trained factor is negative in front of a ReLU.
        MissingError: No interpreter was given in which the export can be verified.
    """
    python_of(bundle)
    check_signs(bundle)
    config = bundle.backbone.model.config
    facts = {
        "model_type": bundle.backbone.family,
        "hidden_size": getattr(config, "hidden_size", None),  # two towers have two
        "model_name": bundle.architecture.model,
        "model_class": type(bundle.backbone.model).__name__,
        "version": VERSION,
    }
    stack = adapters_of(bundle)
    for adapter in stack:
        own = folder / adapter.name
        own.mkdir()
        write_json(
            own / "adapter_config.json", {**facts, "name": adapter.name, "config": adapter.config}
        )
        torch.save(_clean(adapter.tensors), own / "pytorch_adapter.bin")
    if bundle.head:
        head = {"name": None, "config": None, "num_labels": config.num_labels}
        write_json(folder / "head_config.json", {**facts, **head, "label2id": config.label2id})
        torch.save(_clean(bundle.head), folder / "pytorch_model_head.bin")
    children = [{"type": "single", "children": [adapter.name]} for adapter in stack]
    setup = {"type": "Stack", "children": children}
    head_setup = True if bundle.head else None
    write_json(
        folder / "adapter_setup.json",
        {"adapter_setup": setup, "head_setup": head_setup, "version": VERSION},
    )


def verify(bundle: Bundle, folder: Path) -> Evidence:
    """Load the folder with that library, in the interpreter that has it.

    Raises:
        ExportError: That library cannot load it.
        MissingError: No interpreter was given, or it does not have that library.
    """
    (seen,) = look([(bundle, folder)])
    if isinstance(seen, str):
        raise ExportError(f"The adapters library does not take the export: {seen}.")
    return seen


def snippet(bundle: Bundle, folder: Path) -> list[str]:
    """Return the lines that load the export in the interpreter that has that library."""
    auto = auto_class(bundle.backbone.model)
    options = "".join(f", {key}={value!r}" for key, value in loading_options(bundle).items())
    return [
        "import adapters",
        f"from transformers import {auto}",
        f"model = {auto}.from_pretrained({source_of(bundle.architecture.model)!r}{options})",
        "adapters.init(model)",
        f"model.load_adapter_setup({str(folder)!r}, set_active=True)",
    ]


def _clean(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors that hold nothing but themselves."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
