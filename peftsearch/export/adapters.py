"""AdapterHub's adapters 1.3: LoRA, bottlenecks, IA3 and prefixes as a stack of adapters.

That library runs beside transformers 4.57 only, so an export is loaded and verified in an
interpreter of its own (``--target-python``). What is written is that library's own form of a
setup: ``adapter_setup.json`` and a folder for each adapter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from peftsearch.architecture import Architecture, Choice
from peftsearch.backbones.base import Backbone, head_kind, head_prefixes
from peftsearch.backbones.loading import source_of
from peftsearch.catalogue import families
from peftsearch.errors import ExportError
from peftsearch.export.adapters_groups import adapters_of
from peftsearch.export.adapters_target import look, python_of
from peftsearch.export.base import Bundle, Evidence, Problem
from peftsearch.export.snippets import auto_class
from peftsearch.export.writing import refusal
from peftsearch.rundir import write_json
from peftsearch.site import split_id

EXPORTER = {
    "name": "adapters",
    "title": "AdapterHub adapters: LoRA, bottlenecks, IA3 and prefixes as a stack of adapters",
    "holds": {
        "lora ia3 adapter": {
            "bert roberta t5 mt5 bart mbart": "",
            "decoders": "adapters knows few decoders, and none is written for it",
            "*": "exports to adapters were compared for BERT, RoBERTa, T5, mT5, BART, mBART alone",
        },
        "parallel_adapter": {
            "bert roberta bart": "",
            "t5 mt5 mbart": (
                "adapters feeds a parallel bottleneck from before the norm, which is not the "
                "feed-forward's input in models with the norm in front"
            ),
            "decoders": "adapters knows few decoders, and none is written for it",
            "*": "exports to adapters were compared for BERT, RoBERTa, T5, mT5, BART, mBART alone",
        },
        "prefix": {
            "bert roberta bart mbart": "",
            "t5 mt5": "adapters shifts the relative position bias by the length of a prefix",
            "decoders": "adapters knows few decoders, and none is written for it",
            "*": "exports to adapters were compared for BERT, RoBERTa, T5, mT5, BART, mBART alone",
        },
        "prefix.cross_attention": "adapters has prefixes there only together with self-attention's",
        "layernorm": "adapters does not train norms",
        "bitfit": "adapters does not train biases",
    },
    "otherwise": "adapters has no such method",
}
#: The version of that library whose files these are.
VERSION = "adapters.1.3.0"
#: The modules on which that library has a method, by method and part.
_MODULES = {
    ("lora", "attention"): ("q", "k", "v"),
    ("lora", "cross_attention"): ("q", "k", "v"),
    ("lora", "feed_forward"): ("up", "down"),
    ("ia3", "attention"): ("q", "k", "v"),
    ("ia3", "cross_attention"): ("q", "k", "v"),
    ("ia3", "feed_forward"): ("down",),
}


def problems(architecture: Architecture, backbone: Backbone) -> list[Problem]:
    """Return the choices on modules, beside others, or in models that the library does not fit."""
    active = architecture.active
    if not active:
        return [Problem("all sites", "none", "nothing was chosen, and adapters needs one adapter")]
    if head_kind(backbone.model) == "span":
        return [Problem("head", "none", "a head for begin and end has never been tried there")]
    found = [(choice, reason) for choice in active for reason in _alone(choice, backbone)]
    found += _one_sided(active)
    found += _meeting(active)
    reasons: dict[tuple[str, str], str] = {}
    for choice, reason in found:
        reasons.setdefault((choice.site, choice.method), reason)
    return [Problem(site, method, reason) for (site, method), reason in reasons.items()]


def _alone(choice: Choice, backbone: Backbone) -> Iterator[str]:
    """Yield why one choice, whatever else there is, cannot be held."""
    stack, _, part = split_id(choice.site)
    config = backbone.model.config
    allowed = _MODULES.get((choice.method, part), choice.modules)
    wrong = [name for name in choice.modules if name not in allowed]
    if wrong:
        yield f"adapters has {choice.method} on {', '.join(allowed)} alone, not on {wrong[0]}"
    if (choice.method, part) == ("ia3", "feed_forward") and not _scales_alike(config):
        yield (
            "adapters rescales before the activation, which is the same for ReLU and for T5's "
            "gated feed-forward only"
        )
    if choice.method == "prefix" and stack == "decoder":
        yield "adapters gets the causal mask beside a prefix wrong, except with eager attention"


def _scales_alike(config: Any) -> bool:
    """Whether a factor before the activation is one behind it."""
    if families()[config.model_type] == "t5":
        return config.is_gated_act or config.dense_act_fn == "relu"  # type: ignore[no-any-return]
    activation = getattr(config, "hidden_act", getattr(config, "activation_function", ""))
    return activation == "relu"


def _one_sided(active: Sequence[Choice]) -> Iterator[tuple[Choice, str]]:
    """Yield what stands on one of a decoder layer's two attentions and not on the other."""
    kinds = {c: (c.method, c.size, frozenset(c.modules)) for c in active}
    there = {(c.site, kind) for c, kind in kinds.items()}
    other = {"attention": "cross_attention", "cross_attention": "attention"}
    for choice, kind in kinds.items():
        stack, layer, part = split_id(choice.site)
        twin = f"{stack}.{layer:02d}.{other.get(part, '')}"
        if stack == "decoder" and choice.method in ("lora", "ia3") and part in other:
            if (twin, kind) not in there:
                yield (
                    choice,
                    f"adapters would put the same on the layer's {other[part]}, which has no such "
                    "choice",
                )


def _meeting(active: Sequence[Choice]) -> Iterator[tuple[Choice, str]]:
    """Yield the choices that meet others where that library would chain or replace them."""
    counts = Counter(place for choice in active for place in _places(choice))
    for choice in active:
        if any(counts[place] > 1 for place in _places(choice)):
            yield (
                choice,
                "another choice acts on the same module, and a stack of adapters does not add "
                "up there",
            )


def _places(choice: Choice) -> list[tuple[str, str]]:
    """Return the places of that library that a choice takes."""
    part = split_id(choice.site)[2]
    if choice.method in ("adapter", "parallel_adapter"):
        return [(choice.site, "bottleneck")]
    if choice.method == "prefix":
        return [(choice.site, "prefix")]
    inner = (choice.method, part) == ("ia3", "feed_forward")
    return [(choice.site, "up" if inner else module) for module in choice.modules]


def write(bundle: Bundle, folder: Path) -> None:
    """Write a setup of that library: a stack, a folder for each adapter, the head.

    Raises:
        ExportError: A trained factor is negative in front of a ReLU.
        MissingError: No interpreter was given in which the export can be verified.
    """
    python_of(bundle)
    _check_signs(bundle)
    config = bundle.backbone.model.config
    facts = {
        "model_type": bundle.backbone.family,
        "hidden_size": config.hidden_size,
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
    model = bundle.backbone.model
    auto = auto_class(model)
    labels = f", num_labels={model.config.num_labels}" if head_prefixes(model) else ""
    return [
        "import adapters",
        f"from transformers import {auto}",
        f"model = {auto}.from_pretrained({source_of(bundle.architecture.model)!r}{labels})",
        "adapters.init(model)",
        f"model.load_adapter_setup({str(folder)!r}, set_active=True)",
    ]


def _check_signs(bundle: Bundle) -> None:
    """Refuse factors that a ReLU does not let through.

    Raises:
        ExportError: There are some; each place is named.
    """
    config = bundle.backbone.model.config
    if getattr(config, "is_gated_act", False):
        return
    found = []
    for choice in bundle.architecture.active:
        if choice.method == "ia3" and split_id(choice.site)[2] == "feed_forward":
            factors = 1 + bundle.of(choice.site, "ia3", "down")["delta"]
            negative = int((factors < 0).sum())
            if negative:
                counted = f"{negative} negative factor{'s' * (negative != 1)}"
                reason = f"{counted}, and adapters has them before a ReLU"
                found.append(Problem(choice.site, choice.method, reason))
    if found:
        raise refusal("adapters", found)


def _clean(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors that hold nothing but themselves."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
