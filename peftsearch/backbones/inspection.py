"""Recognise the parts of a transformer that has no file here, by names and shapes.

A stack is a list of layers of one class. In its last layer, attention is where maps called like
queries, keys and values stand side by side, or one map of about three times the width; a
feed-forward is what is left of the linear maps, if they widen and narrow again. What is found is a
:class:`Description`, as a user could have written it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from posixpath import commonpath
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from peftsearch.backbones.described import takes_prefixes
from peftsearch.backbones.description import Description, PartSpec, StackSpec
from peftsearch.errors import ConfigError

#: What libraries call the maps, as whole names of modules.
_NAMES = {
    "q": re.compile(r"q|wq|to_q|query|query_proj|q_proj|q_lin|linear_q|q_linear"),
    "k": re.compile(r"k|wk|to_k|key|key_proj|k_proj|k_lin|linear_k|k_linear"),
    "v": re.compile(r"v|wv|to_v|value|value_proj|v_proj|v_lin|linear_v|v_linear"),
    "qkv": re.compile(r"qkv|w_?qkv|qkv_proj|to_qkv|query_key_value|c_attn|in_proj"),
}
_OUTPUT = re.compile(r"o|wo|out|out_proj|o_proj|out_lin|output|dense|proj|c_proj|to_out|linear_out")
_CROSS = re.compile(r"cross|enc_?dec|encoder_attn", re.IGNORECASE)
_GATE = re.compile(r"gate|wi_0|w1$", re.IGNORECASE)
#: Norms of queries and keys within an attention.
_HEAD_NORM = re.compile(r"(q|k|query|key)_?(layer)?_?norm")
_HEADS = ("num_key_value_heads", "num_attention_heads", "n_head", "n_heads", "num_heads")
_HINT = "Say where they are: --backbone FILE.yaml (docs/backbones.md has an example)."

Maps = dict[str, nn.Module]


def inspect_model(model: nn.Module) -> Description:
    """Return a description of what is recognised in a model.

    Raises:
        ConfigError: There is no stack in which an attention is recognised; the sentence says what
            was not found.
    """
    config: Any = model.config
    known = f'Models of type "{config.model_type}" are not known'
    lists = list(_stacks(model))
    if not lists:
        raise ConfigError(f"{known}, and this one has no list of layers of one class.", _HINT)
    stacks: dict[str, StackSpec] = {}
    remarks: list[str] = []
    for path, layer in lists:
        parts = _parts(layer, config)
        if not any(part.endswith("attention") for part in parts):
            maps = ", ".join(_linears(layer)) or "none"
            message = f"{known}, and in {path} no attention was found (linear maps: {maps})."
            raise ConfigError(message, _HINT)
        name = _stack_name(path, model)
        if name in stacks:
            message = f"{known}, and {stacks[name].layers} and {path} both look like its {name}."
            raise ConfigError(message, _HINT)
        stacks[name] = StackSpec(f"{path}.{{}}", parts)
        remarks += _remarks(name, layer, parts)
    return Description(stacks, config.model_type, "the inspection of the model", tuple(remarks))


def notice(description: Description, numbers: dict[str, int]) -> str:
    """Return what a user is told of a model that was inspected.

    Args:
        description: What was recognised.
        numbers: Layers of each stack.
    """
    lines = []
    for name, stack in description.stacks.items():
        parts = [f"{part} ({', '.join(spec.modules)})" for part, spec in stack.parts.items()]
        lines.append(f"{name}: {numbers[name]} layers, {', '.join(parts)}")
    seen = "; ".join([*lines, *description.remarks])
    return (
        f'Models of type "{description.model_type}" are not known here; recognised by names and '
        f"shapes: {seen}. If that is wrong: --backbone FILE.yaml."
    )


def _stacks(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield path and last layer of each list of equal layers that is in no other one.

    Paths are within the base model, the same for every head. The first layer may lack something,
    as ModernBERT's has no norm.
    """
    outer: list[str] = []
    base = getattr(model, str(getattr(model, "base_model_prefix", "")), model)
    for path, module in base.named_modules():
        if not isinstance(module, nn.ModuleList) or any(path.startswith(f"{o}.") for o in outer):
            continue
        classes = {type(child) for child in module}
        if len(classes) == 1 and len(_linears(module[-1])) > 3:
            outer.append(path)
            yield path, module[-1]


def _stack_name(path: str, model: nn.Module) -> str:
    """Return ``encoder`` or ``decoder``, by the path or else by the kind of model."""
    for name in ("encoder", "decoder"):
        if name in path.lower():
            return name
    return "decoder" if re.search("CausalLM|LMHead", type(model).__name__) else "encoder"


def _linears(layer: nn.Module) -> Maps:
    """Return the linear maps of a module by path."""
    named = layer.named_modules()
    return {path: module for path, module in named if isinstance(module, nn.Linear | Conv1D)}


def _widths(module: nn.Module) -> tuple[int, int]:
    """Return the width of a linear map's input and output."""
    if isinstance(module, Conv1D):
        return int(module.nx), int(module.nf)
    assert isinstance(module, nn.Linear)
    return module.in_features, module.out_features


def _parts(layer: nn.Module, config: Any) -> dict[str, PartSpec]:
    """Return the parts of a layer, in the order of its modules."""
    left = _linears(layer)
    parts: dict[str, PartSpec] = {}
    attentions: list[str] = []
    for path in dict.fromkeys(name.rpartition(".")[0] for name in left):
        modules = _projections(path, left)
        if not modules:
            continue
        output = _output(path, modules, left)
        part = "cross_attention" if _CROSS.search(path) else "attention"
        if output is None or part in parts:
            continue
        modules["o"] = output
        core = layer.get_submodule(path)
        parts[part] = PartSpec(
            modules, core=path if takes_prefixes(core) else "", heads=_heads(config)
        )
        attentions.append(path)
        left = {name: map_ for name, map_ in left.items() if name not in modules.values()}
    # What else is in an attention, such as maps of positions, is no feed-forward.
    dense = _feed_forward({name: left[name] for name in left if not _inside(name, attentions)})
    if dense:
        parts["feed_forward"] = PartSpec(dense)
    return _with_norms(parts, _norms(layer, attentions, len(parts)))


def _inside(path: str, modules: list[str]) -> bool:
    return any(path.startswith(f"{module}.") for module in modules)


def _projections(path: str, maps: Maps) -> dict[str, str]:
    """Return the paths of queries, keys and values that stand in one module; nothing else."""
    names = [name for name in maps if name.rpartition(".")[0] == path]
    found = {
        kind: name
        for name in names
        for kind, pattern in _NAMES.items()
        if pattern.fullmatch(name.rpartition(".")[2].lower())
    }
    if {"q", "k", "v"} <= set(found):
        return {kind: found[kind] for kind in ("q", "k", "v")}
    if "qkv" in found:
        width, total = _widths(maps[found["qkv"]])
        return {"qkv": found["qkv"]} if total == 3 * width else {}
    return {}


def _output(path: str, modules: dict[str, str], maps: Maps) -> str | None:
    """Return the map behind an attention: in its module, or in the one around it."""
    if "qkv" in modules:
        width = _widths(maps[modules["qkv"]])[1] // 3
    else:
        width = _widths(maps[modules["q"]])[1]
    for around in dict.fromkeys((path, path.rpartition(".")[0])):
        prefix = f"{around}." if around else ""
        for name, module in maps.items():
            if name in modules.values() or not name.startswith(prefix):
                continue
            if _widths(module)[0] == width and _OUTPUT.fullmatch(name.rpartition(".")[2].lower()):
                return name
    return None


def _heads(config: Any) -> str:
    """Return the key of the config that has the number of key and value heads."""
    there = [key for key in _HEADS if getattr(config, key, None) is not None]
    return there[0] if there else "num_attention_heads"


def _feed_forward(maps: Maps) -> dict[str, str]:
    """Return the maps of a feed-forward if those that are left are one; nothing else."""
    shapes = {name: _widths(module) for name, module in maps.items()}
    for down, (inner, width) in reversed(shapes.items()):
        wide = {inner, 2 * inner}
        ups = [n for n, shape in shapes.items() if shape[0] == width and shape[1] in wide]
        ups = [name for name in ups if name != down]
        if len(shapes) != len(ups) + 1 or not 0 < len(ups) < 3:
            continue
        if len(ups) == 1:
            return {"up": ups[0], "down": down}
        gates = [name for name in ups if _GATE.search(name)]
        if len(gates) == 1:
            (up,) = (name for name in ups if name not in gates)
            return {"up": up, "gate": gates[0], "down": down}
    return {}


def _norms(layer: nn.Module, attentions: list[str], number: int) -> list[str]:
    """Return the paths of a layer's norms if there is one for each part; nothing else.

    Where there are more, those within an attention are not counted.
    """
    named = layer.named_modules()
    found = [path for path, module in named if "norm" in type(module).__name__.lower()]
    found = [path for path in found if not _HEAD_NORM.fullmatch(path.rpartition(".")[2].lower())]
    if len(found) != number:
        found = [path for path in found if not _inside(path, attentions)]
    return found if len(found) == number else []


def _with_norms(parts: dict[str, PartSpec], norms: list[str]) -> dict[str, PartSpec]:
    """Give each part the norm that stands nearest to it, and where that is open, the next one."""
    if not norms:
        return parts
    near = max(
        permutations(norms),
        key=lambda order: sum(map(_shared, order, parts.values())),
    )
    return {
        part: replace(spec, norm=norm)
        for (part, spec), norm in zip(parts.items(), near, strict=True)
    }


def _shared(norm: str, spec: PartSpec) -> int:
    """Return how many modules, at most, are around a norm and one of a part's maps alike."""
    paths = [path.replace(".", "/") for path in (norm, *spec.modules.values())]
    return max(commonpath([f"/{paths[0]}", f"/{path}"]).count("/") for path in paths[1:])


def _remarks(name: str, layer: nn.Module, parts: dict[str, PartSpec]) -> list[str]:
    """Return what was not found in a stack."""
    found = []
    if "feed_forward" not in parts:
        found.append(f"{name}: no feed-forward")
    if not any(spec.norm for spec in parts.values()):
        found.append(f"{name}: no norms")
    return found
