"""Hugging Face PEFT's folders: LoRA, IA3, LayerNorm tuning and BEFT, alone or as a chain.

What an adapter touches is not worked out here from lists, suffixes, expressions and patterns: PEFT
itself puts it on an empty copy of the model, and every parameter that it would then train must
have a place here. Where there are tensors, they must be these parameters, and their ranks count.
"""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import peft
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from peftsearch.backbones.base import Backbone, head_prefixes, module_paths
from peftsearch.catalogue import method_order
from peftsearch.errors import ConfigError
from peftsearch.export.base import Problem
from peftsearch.export.peft import CONFIG, ORDER, WEIGHTS
from peftsearch.importing.peft_options import check_types, unknown_options
from peftsearch.importing.pieces import Piece
from peftsearch.rundir import read_json

#: What PEFT calls its parameters, and the method that they are here.
_MARKS = {
    "lora_A": "lora",
    "lora_B": "lora",
    "ia3_l": "ia3",
    "ln_tuning_layers": "layernorm",
    "beft_bias": "bitfit",
}
_OWN = re.compile(r"(.+)\.(\w+)\.default(?:\.(\w+))?")
_BASE = "base_model.model."


@dataclass
class Trained:
    """One method on one module, as PEFT has it.

    Attributes:
        path: Dotted path of the module.
        piece: The same in the words of this package.
        scale: LoRA's scale there, and one for all other methods; ``None`` where the rank of the
            tensors is not that of the config, so that PEFT does not load them.
        keys: Names of its tensors in the file, by PEFT's short names, e.g. ``lora_A``.
    """

    path: str
    piece: Piece
    scale: float | None = 1.0
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def in_place(self) -> bool:
        """Whether it is a bias of the backbone itself, and not one that PEFT adds."""
        return self.piece.method == "bitfit" and "beft" not in self.keys["bias"]


@dataclass(frozen=True)
class Folder:
    """One adapter of PEFT.

    Attributes:
        path: Where it lies.
        trained: What it trains of the backbone.
        head: Parameter names of the task head that it trains, by names in the file.
        tensors: Its tensors by names in the file; empty where there is no safetensors file.
        problems: What has no place in an architecture.
    """

    path: Path
    trained: tuple[Trained, ...]
    head: Mapping[str, str]
    tensors: Mapping[str, Tensor]
    problems: tuple[Problem, ...]


def chain(path: Path) -> list[Path]:
    """Return the adapters of a folder in the order in which they are loaded.

    A folder that this package exported may hold several; any other is one.
    """
    if not (path / ORDER).is_file():
        return [path]
    data = read_json(path / ORDER)
    names = data.get("load_order") if isinstance(data, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{path / ORDER} has no list of folders.")
    return [path / name for name in names]


def tensors_of(path: Path) -> dict[str, Tensor]:
    """Return an adapter's tensors; empty if there are none, or in no format that is safe."""
    try:
        return load_file(path / WEIGHTS) if (path / WEIGHTS).is_file() else {}
    except SafetensorError as error:
        raise ConfigError(f"{path / WEIGHTS} cannot be read: {error}.") from error


def read(path: Path, backbone: Backbone) -> Folder:
    """Let PEFT put an adapter on a backbone, and look at what it would train.

    Args:
        path: A folder with ``adapter_config.json``.
        backbone: A backbone without storage, which is changed.

    Raises:
        ConfigError: PEFT itself does not take the adapter on this model.
    """
    given = read_json(path / CONFIG)
    if not isinstance(given, dict):
        raise ConfigError(f"{path / CONFIG} is no JSON object.")
    wrong = list(unknown_options(given))
    if wrong:
        return Folder(path, (), {}, {}, tuple(wrong))
    places = {
        at: (host.site.id, host.site.part, name)
        for host in backbone.hosts
        for name, at in zip(
            host.modules, module_paths(backbone.model, list(host.modules.values())), strict=True
        )
    }
    model, heads = _adapted(path, given, backbone.model), head_prefixes(backbone.model)
    tensors = tensors_of(path)
    reader = _Reader(model, places, heads, tensors)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            reader.take(name, parameter)
    reader.finish()
    return Folder(
        path, tuple(reader.trained.values()), reader.head, tensors, tuple(reader.problems)
    )


def out_of_order(folders: Sequence[Folder]) -> Iterator[Problem]:
    """Yield what is loaded after a method that here acts later on the same module.

    IA3 multiplies what is there, so before it and behind it are two functions; all other methods
    add, and it does not matter.
    """
    seen: dict[tuple[str, str], list[str]] = {}
    for each in (one for folder in folders for one in folder.trained):
        piece = each.piece
        for before in seen.setdefault((piece.site, piece.module), []):
            late = method_order(before) > method_order(piece.method)
            if late and "ia3" in (before, piece.method):
                reason = f"it is loaded after {before} on {piece.module}, and here it acts before"
                yield Problem(piece.site, piece.method, reason)
        seen[piece.site, piece.module].append(piece.method)


def _adapted(path: Path, given: Mapping[str, Any], model: Any) -> Any:
    """Return the model with the adapter on it, its parameters named as in the plain model."""
    check_types(path, given)
    cls: Any = peft.PEFT_TYPE_TO_CONFIG_MAPPING[peft.PeftType(given["peft_type"])]
    fields = {each.name for each in dataclasses.fields(cls)}
    options = {name: value for name, value in given.items() if name in fields}
    options |= {"inference_mode": False, "peft_type": given["peft_type"]}
    if "init_lora_weights" in options:
        options["init_lora_weights"] = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of defaults and of layers: all is looked at
            return peft.get_peft_model(model, cls(**options)).get_base_model()
    except Exception as error:  # it checks little, and stumbles over the rest as it comes
        said = " ".join(str(error).split())
        kind = type(model).__name__
        raise ConfigError(f"PEFT does not take {path} on this {kind}: {said}") from error


class _Reader:
    """Finds a place for every parameter that PEFT would train."""

    def __init__(
        self,
        model: Any,
        places: Mapping[str, tuple[str, str, str]],
        heads: tuple[str, ...],
        tensors: Mapping[str, Tensor],
    ) -> None:
        self.model, self.places, self.heads, self.tensors = model, places, heads, tensors
        self.trained: dict[tuple[str, str], Trained] = {}
        self.head: dict[str, str] = {}
        self.problems: list[Problem] = []
        self._left = set(tensors)

    def take(self, name: str, parameter: nn.Parameter) -> None:
        """Account for one parameter by its name in the adapted model."""
        key = _BASE + name.replace(".modules_to_save.default", "").replace(".default", "")
        path, mark, last = _split(name)
        if f"{path}.".startswith(self.heads or ("\0",)):
            self.head[key] = name.replace(".modules_to_save.default", "")
            self._there(key, path, "head", parameter.shape)
            return
        method, reason = self._method(path, mark, last)
        if reason:
            self.problems.append(Problem(path, method, reason))
            self._left.discard(key)
            return
        size = self._size(key, parameter) if mark == "lora_A" else 1
        shape = list(parameter.shape)
        if method == "lora":
            shape[0 if mark == "lora_A" else 1] = self._rank(path, size)
        self._there(key, path, method, shape)
        self._add(path, mark, last, method, key, size)

    def _method(self, path: str, mark: str, last: str) -> tuple[str, str]:
        """Return the method that a parameter is here, and why it has no place, or nothing."""
        method = _MARKS.get(mark, "bitfit" if (mark, last) == ("", "bias") else mark or last)
        if path not in self.places:
            return method, "it is no module of a site"
        site, part, name = self.places[path]
        if method in ("modules_to_save", "layernorm"):
            method = "layernorm"
            return method, "" if part == "norm" else "the whole module is trained, and not a part"
        if mark == "ia3_l":
            inner = bool(self.model.get_submodule(path).is_feedforward)
            if inner != (part == "feed_forward"):
                side = "input" if inner else "output"
                return method, f"it rescales the {side} of {site}'s {name}, and here the other side"
        known = method in _MARKS.values()
        return method, "" if known else f"the backbone's own {last} is trained"

    def _size(self, key: str, parameter: nn.Parameter) -> int:
        """Return the rank of the tensor, or of the config where there is none."""
        found = self.tensors.get(key)
        return len(parameter if found is None else found)

    def _rank(self, path: str, size: int) -> int:
        """Return the rank at a module; PEFT names A before B."""
        there = self.trained.get((path, "lora"))
        return size if there is None else there.piece.size

    def _there(self, key: str, path: str, method: str, shape: Sequence[int]) -> None:
        """Note where the file does not hold a parameter, or one of another shape."""
        if not self.tensors:
            return
        self._left.discard(key)
        found = self.tensors.get(key)
        if found is None:
            self.problems.append(Problem(path, method, f"the file has no tensor {key}"))
        elif list(found.shape) != list(shape):
            reason = f"{key} has shape {list(found.shape)} and this model needs {list(shape)}"
            self.problems.append(Problem(path, method, reason))

    def _add(self, path: str, mark: str, last: str, method: str, key: str, size: int) -> None:
        site, _, name = self.places[path]
        new = Trained(path, Piece(site, method, size, name))
        one = self.trained.setdefault((path, method), new)
        one.keys[mark if method in ("lora", "ia3") else last or "bias"] = key
        if method == "lora":
            module: Any = self.model.get_submodule(path)
            fits = one.piece.size == module.r["default"]
            one.scale = float(module.scaling["default"]) if fits else None

    def finish(self) -> None:
        """Note the tensors that belong to nothing."""
        for key in sorted(self._left):
            reason = f"the file holds {key}, which the config does not train on this model"
            name = key.removeprefix(_BASE)
            mark = next((mark for mark in _MARKS if f".{mark}" in name), "")
            path = name.partition(f".{mark}")[0] if mark else name
            self.problems.append(Problem(path, _MARKS.get(mark, "weights"), reason))


def _split(name: str) -> tuple[str, str, str]:
    """Return path, PEFT's mark (empty for the model's own parameters) and the last name."""
    own = _OWN.fullmatch(name)
    if own:
        return own[1], own[2], own[3] or ""
    path, _, last = name.rpartition(".")
    return path.removesuffix(".base_layer"), "", last
