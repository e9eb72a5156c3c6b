"""A backbone description: where the parts of a transformer's layers stand, as written in YAML.

It is for models whose family has no file here. :mod:`peftsearch.backbones.described` finds the
modules, :mod:`peftsearch.backbones.inspection` makes a description of a model by looking at it.
Torch-free.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from peftsearch.errors import ConfigError
from peftsearch.nearest import did_you_mean

#: The modules of each part, in the order of a site; ``norm`` stands beside them.
MODULES: Mapping[str, tuple[str, ...]] = {
    "attention": ("qkv", "q", "k", "v", "o"),
    "cross_attention": ("q", "k", "v", "o"),
    "feed_forward": ("up", "gate", "down"),
}
_NORM, _HEADS, _CORE, _WIDTHS, _LAYOUT = "norm", "heads", "core", "widths", "layout"
#: How a fused ``qkv`` may be laid out, see :mod:`peftsearch.backbones.fused_layout`.
_LAYOUTS = ("parts", "heads")
_STACK_NAME = re.compile(r"[a-z][a-z0-9_]*")
_INDEX = "{}"


@dataclass(frozen=True)
class PartSpec:
    """One part of a layer.

    Attributes:
        modules: Paths within the layer by the names of :data:`MODULES`.
        norm: Path of the part's norm within the layer; empty without one.
        core: Path of the module that calls the attention function; empty if prefixes are not to
            be had.
        heads: Number of key and value heads, or the key of the config that has it.
        widths: Outputs of a fused ``qkv`` that are queries, keys and values; empty for thirds.
        layout: Whether a fused ``qkv`` has all queries first (``parts``), or query, key and value
            of each head side by side (``heads``); empty: as the model's code tells.
    """

    modules: Mapping[str, str]
    norm: str = ""
    core: str = ""
    heads: int | str = "num_attention_heads"
    widths: tuple[int, ...] = ()
    layout: str = ""

    def to_mapping(self, part: str) -> dict[str, Any]:
        """Return the mapping under the part's name in YAML."""
        found: dict[str, Any] = dict(self.modules)
        if part != "feed_forward" and self.core:
            found |= {_HEADS: self.heads, _CORE: self.core}
        if self.widths:
            found[_WIDTHS] = list(self.widths)
        if self.layout:
            found[_LAYOUT] = self.layout
        return {**found, _NORM: self.norm} if self.norm else found


@dataclass(frozen=True)
class StackSpec:
    """One stack of layers.

    Attributes:
        layers: Path of a layer within the model, with ``{}`` for its number.
        parts: What a layer has, by the names of parts.
    """

    layers: str
    parts: Mapping[str, PartSpec]


@dataclass(frozen=True)
class Description:
    """Where the parts of a model stand.

    Attributes:
        stacks: The stacks by name, in the order of the forward pass.
        model_type: The ``model_type`` that it is for; empty for any.
        source: The file, for messages; empty for a description that inspection made.
        remarks: What inspection could not find, as sentences.
    """

    stacks: Mapping[str, StackSpec]
    model_type: str = ""
    source: str = field(default="", compare=False)
    remarks: tuple[str, ...] = field(default=(), compare=False)

    def to_mapping(self) -> dict[str, Any]:
        """Return what the YAML holds."""
        stacks = {
            name: {"layers": stack.layers}
            | {part: spec.to_mapping(part) for part, spec in stack.parts.items()}
            for name, stack in self.stacks.items()
        }
        return {"model_type": self.model_type, "stacks": stacks}

    def to_yaml(self) -> str:
        """Return the text of the YAML."""
        return yaml.safe_dump(self.to_mapping(), sort_keys=False)


def read_description(path: str | Path) -> Description:
    """Read a file.

    Raises:
        ConfigError: There is no such file, it is no YAML, or something in it is wrong.
    """
    path = Path(path)
    if not path.is_file():
        message = f'backbone "{path}" does not exist.'
        raise ConfigError(message, "--backbone takes a YAML file; docs/backbones.md has one.")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
    return parse_description(data, str(path))


def parse_description(data: Any, where: str) -> Description:
    """Check a description read from YAML, collecting every problem before raising.

    Args:
        data: The parsed YAML.
        where: Name of the file, for messages.

    Raises:
        ConfigError: Unknown or missing keys, or values that are none.
    """
    problems: list[ConfigError] = []
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where}: a backbone description is a mapping with the key stacks.")
    _unknown(data, {"model_type", "stacks"}, where, problems)
    entries = data.get("stacks")
    if not isinstance(entries, Mapping) or not entries:
        problems.append(ConfigError(f"{where}: stacks must be a mapping of names to layers."))
        entries = {}
    stacks = {
        str(name): _stack(entry, str(name), f"{where}: stacks.{name}", problems)
        for name, entry in entries.items()
    }
    if problems:
        raise ConfigError.collected(problems)
    return Description(stacks, str(data.get("model_type") or ""), where)


def _stack(entry: Any, name: str, where: str, problems: list[ConfigError]) -> StackSpec:
    if not _STACK_NAME.fullmatch(name):
        problems.append(ConfigError(f"{where}: a name is of small letters, digits and _."))
    if not isinstance(entry, Mapping):
        problems.append(ConfigError(f"{where} must be a mapping with layers and parts."))
        return StackSpec("", {})
    _unknown(entry, {"layers", *MODULES}, where, problems)
    layers = entry.get("layers")
    if not isinstance(layers, str) or layers.count(_INDEX) != 1:
        message = f"{where}.layers must be a path with one {{}} for the number, not {layers}."
        problems.append(ConfigError(message, "e.g. encoder.layer.{}"))
        layers = ""
    parts = {
        part: _part(entry[part], part, f"{where}.{part}", problems)
        for part in MODULES
        if part in entry
    }
    if not parts:
        problems.append(ConfigError(f"{where} names no part.", f"Parts are: {', '.join(MODULES)}."))
    return StackSpec(layers, parts)


def _part(entry: Any, part: str, where: str, problems: list[ConfigError]) -> PartSpec:
    if not isinstance(entry, Mapping):
        problems.append(ConfigError(f"{where} must be a mapping of modules to their paths."))
        return PartSpec({})
    attention = part != "feed_forward"
    others = {_NORM, _HEADS, _CORE, _WIDTHS, _LAYOUT} if attention else {_NORM}
    _unknown(entry, {*MODULES[part], *others}, where, problems)
    modules = {name: entry[name] for name in MODULES[part] if name in entry}
    paths = {**modules, **{key: entry[key] for key in (_NORM, _CORE) if key in entry}}
    for name, path in paths.items():
        if not isinstance(path, str) or not path:
            message = f"{where}.{name} must be a path within the layer, not {path}."
            problems.append(ConfigError(message))
    _check_modules(part, set(modules), where, problems)
    for name, path in modules.items():
        first = next(n for n, p in modules.items() if p == path)
        if first != name:
            problems.append(ConfigError(f"{where}: {first} and {name} are both {path}."))
    heads, widths = entry.get(_HEADS, "num_attention_heads"), entry.get(_WIDTHS, [])
    if not _is_number(heads) and not (isinstance(heads, str) and heads):
        message = f"{where}.{_HEADS} must be a number or a key of the model's config, not {heads}."
        problems.append(ConfigError(message))
    if widths and not (
        isinstance(widths, list) and len(widths) == 3 and all(map(_is_number, widths))
    ):
        message = f"{where}.{_WIDTHS} must be three whole numbers, not {widths}."
        problems.append(ConfigError(message, "The outputs that are queries, keys and values."))
        widths = []
    layout = _layout(entry, where, problems)
    norm, core = str(entry.get(_NORM, "")), str(entry.get(_CORE, ""))
    return PartSpec(modules, norm, core, heads, tuple(widths), layout)


def _layout(entry: Mapping[str, Any], where: str, problems: list[ConfigError]) -> str:
    """Check how a fused map is said to be laid out."""
    layout = entry.get(_LAYOUT, "")
    if layout and layout not in _LAYOUTS:
        message = f"{where}.{_LAYOUT} must be {' or '.join(_LAYOUTS)}, not {layout}."
        problems.append(ConfigError(message, did_you_mean(str(layout), _LAYOUTS)))
        return ""
    if layout and "qkv" not in entry:
        problems.append(ConfigError(f"{where}.{_LAYOUT} has no meaning without qkv."))
    if layout == "heads" and entry.get(_WIDTHS):
        message = f"{where} has {_WIDTHS} and the layout heads, in which all three are as wide."
        problems.append(ConfigError(message, f"Remove {_WIDTHS}."))
    return str(layout)


def _check_modules(part: str, names: set[str], where: str, problems: list[ConfigError]) -> None:
    """Ask for all that methods may want of a part."""
    if part == "feed_forward":
        missing = {"up", "down"} - names
    elif "qkv" in names:
        missing = {"o"} - names
        if names & {"q", "k", "v"}:
            problems.append(ConfigError(f"{where} has qkv, and q, k or v beside it; name one."))
    else:
        missing = {"q", "k", "v", "o"} - names
    if missing:
        inorder = [name for name in MODULES[part] if name in missing]
        message = f"{where} does not say where {', '.join(inorder)} is."
        problems.append(
            ConfigError(message, "One map for all three: qkv." if "q" in missing else "")
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _unknown(
    data: Mapping[Any, Any], known: Iterable[str], where: str, problems: list[ConfigError]
) -> None:
    for key in data:
        if key not in known:
            message = f'{where}: unknown key "{key}".'
            problems.append(ConfigError(message, did_you_mean(str(key), sorted(known))))
