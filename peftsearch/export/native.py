"""The project's own format, version 1: any architecture, exact.

``architecture.json`` (keyed by stack, layer and part), ``adapter.safetensors`` (keys
``site/method/anchor/tensor``), ``head.safetensors``, ``check.safetensors`` (a small input and
its logits) and ``native.json`` (backbone, order of composition, hashes). ``docs/format.md`` has
the exact meaning of every method.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from peftsearch.architecture import Architecture
from peftsearch.backbones.base import (
    Backbone,
    describe,
    description_of,
    head_kind,
    head_parameters,
    hosts_of,
)
from peftsearch.backbones.description import Description, parse_description
from peftsearch.backbones.loading import load_model
from peftsearch.catalogue import families, method_order
from peftsearch.checkpoint import restore_weights
from peftsearch.environment import versions
from peftsearch.errors import ConfigError, ExportError
from peftsearch.export.base import (
    TOLERANCE,
    Bundle,
    Entry,
    Evidence,
    Problem,
    largest_difference,
    logits_of,
)
from peftsearch.export.patching import patched
from peftsearch.export.sample import sample_inputs
from peftsearch.export.snippets import is_decoder
from peftsearch.injection import apply, insertions_of, load_state, state, unapply
from peftsearch.rundir import atomic_path, read_json, write_json

EXPORTER = {
    "name": "native",
    "title": "peftsearch's own format: any architecture, loaded by peftsearch.load",
    "holds": {},
    "otherwise": "",
}
#: Major version: what a method means, or where a file's parts stand, changed.
FORMAT = 1
_DOCUMENT, _ARCHITECTURE = "native.json", "architecture.json"
_ADAPTER, _HEAD, _CHECK = "adapter.safetensors", "head.safetensors", "check.safetensors"
_FILES = (_ADAPTER, _HEAD, _CHECK)
#: All keys of exports written before version 1 was fixed; they carry no seal.
_EARLY = {"format", "base", "num_labels", "sha256"}
_MADE_WITH = ("peftsearch", "torch", "transformers")


def problems(architecture: Architecture, backbone: Backbone) -> list[Problem]:
    """Return nothing: every architecture can be held."""
    return []


def write(bundle: Bundle, folder: Path) -> None:
    """Write an architecture with its weights, and what makes images and sounds into inputs."""
    check = {f"inputs/{name}": tensor for name, tensor in bundle.check_inputs.items()}
    check["logits"] = bundle.check_logits
    tensors = (dict(bundle.weights), dict(bundle.head), check)
    _write(folder, bundle.architecture, tensors, bundle.backbone.model)
    reader = bundle.backbone.reader
    if reader is not None and not isinstance(reader, PreTrainedTokenizerBase):
        reader.save_pretrained(folder)


def verify(bundle: Bundle, folder: Path) -> Evidence:
    """Load the folder onto the backbone, and count what would be trained."""
    model = bundle.backbone.model
    head = {name: p.detach().clone() for name, p in head_parameters(model)}
    with patched(model, head):  # loading overwrites the copy
        load(folder, model)
        try:
            trained = sum(insertion.num_params for insertion in insertions_of(model))
            found = logits_of(model, bundle.check_inputs)
        finally:
            unapply(model)
    entry = Entry("all sites", bundle.architecture.num_params, trained)
    return Evidence({"peftsearch.load": found}, (entry,))


def snippet(bundle: Bundle, folder: Path) -> list[str]:
    """Return the lines that load the export."""
    return ["import peftsearch", f"model = peftsearch.load({str(folder)!r})"]


def _write(
    folder: Path, architecture: Architecture, tensors: tuple[dict[str, Tensor], ...], model: Any
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    architecture.save(folder / _ARCHITECTURE)
    hashes = {_ARCHITECTURE: _sha256(folder / _ARCHITECTURE)}
    for name, content in zip(_FILES, tensors, strict=True):
        (folder / name).unlink(missing_ok=True)
        if content:
            with atomic_path(folder / name) as temporary:
                save_file({k: t.contiguous() for k, t in content.items()}, temporary)
            hashes[name] = _sha256(folder / name)
    description = description_of(model)
    document = {
        "format": FORMAT,
        "base": architecture.model,
        "num_labels": 0 if is_decoder(model) else getattr(model.config, "num_labels", 2),
        **({} if head_kind(model) == "sequence" else {"head_kind": head_kind(model)}),
        "model_type": model.config.model_type,
        "stacks": _stacks(model),
        **({} if description is None else {"description": description.to_mapping()}),
        "composition_order": composition_order(architecture.methods),
        "head": sorted(tensors[1]),
        "made_with": {name: v for name, v in versions().items() if name in _MADE_WITH},
        "sha256": hashes,
    }
    write_json(folder / _DOCUMENT, {**document, "seal": _seal(document)})


def _stacks(model: nn.Module) -> dict[str, int]:
    """Count the layers of each stack."""
    layers = {(host.site.stack, host.site.layer) for host in hosts_of(model)}
    return dict(sorted(Counter(stack for stack, _ in layers).items(), reverse=True))


def composition_order(methods: Iterable[str]) -> list[str]:
    """Return methods in the order in which they act where they meet on one module."""
    return sorted(methods, key=lambda name: (method_order(name), name))


def save(model: Any, folder: str | Path) -> None:
    """Save what was trained of a model that :func:`peftsearch.apply` prepared.

    Args:
        model: The model.
        folder: Where to write; the backbone itself is not written.

    Raises:
        ConfigError: Nothing was applied to the model.
    """
    if not hasattr(model, "peftsearch_architecture"):  # one that chose nothing counts too
        raise ConfigError("Nothing is applied to this model.", "peftsearch.apply(model, ...)")
    head = {name: p.detach().cpu() for name, p in head_parameters(model)}
    tensors = (state(insertions_of(model)), head, _checked(model))
    _write(Path(folder), model.peftsearch_architecture, tensors, model)


def _checked(model: Any) -> dict[str, Tensor]:
    """Return a small input and its logits; empty for a model that has none."""
    inputs = sample_inputs(model)
    if inputs is None:
        return {}
    training = [(module, module.training) for module in model.modules()]
    try:
        logits = logits_of(model, inputs)
    finally:
        for module, flag in training:
            module.training = flag
    return {**{f"inputs/{name}": tensor for name, tensor in inputs.items()}, "logits": logits}


def load(folder: str | Path, model: Any = None, *, check: bool = False) -> Any:
    """Load what :func:`save` or ``peftsearch export --to native`` wrote.

    Args:
        folder: The folder.
        model: The backbone to put it on; by default the one that ``save_pretrained`` wrote into
            the folder, or else it is loaded by the name it was found on.
        check: Whether to run the check input and compare its logits with the ones written.

    Returns:
        The model, with the trained layers inserted and still trainable.

    Raises:
        ConfigError: Not such a folder, an unknown format, another backbone.
        ExportError: A file was changed, or the logits of the check input differ.
        MissingError: The backbone cannot be loaded.
    """
    folder = Path(folder)
    document = _document(folder)
    architecture = Architecture.load(folder / _ARCHITECTURE)
    _check_order(folder, document, architecture)
    if model is None:
        own = (folder / "config.json").is_file()
        base = str(folder) if own else document["base"]
        head = document.get("head_kind", "sequence")
        model = load_model(base, document["num_labels"], head=head)
    _describe(model, document, folder)
    apply(model, architecture)
    try:
        load_state(insertions_of(model), _tensors(folder / _ADAPTER))
        restore_weights(dict(head_parameters(model)), _tensors(folder / _HEAD))
    except (SafetensorError, KeyError, RuntimeError, ConfigError) as error:
        unapply(model)
        raise ConfigError(f"{folder} does not fit this model: {error}") from error
    if check:
        _compare(model, folder)
    return model


def _describe(model: Any, document: Mapping[str, Any], folder: Path) -> None:
    """Tell a model where its parts stand, as they stood where the export was made.

    A model that would be found alike by itself is left as it is.
    """
    if "description" in document:
        stored = parse_description(document["description"], str(folder / _DOCUMENT))
        given = getattr(model, "peftsearch_description", None)
        known = model.config.model_type in families()
        if given != stored and (known or given is not None or not _inspected_alike(model, stored)):
            describe(model, stored)


def _inspected_alike(model: Any, stored: Description) -> bool:
    """Whether inspection finds in a model what a description says."""
    try:
        return description_of(model) == stored
    except ConfigError:
        return False


def _document(folder: Path) -> Mapping[str, Any]:
    """Read ``native.json``, and check that nothing was changed since it was written."""
    document: Any = read_json(folder / _DOCUMENT)
    found = document.get("format") if isinstance(document, dict) else None
    if found != FORMAT or not isinstance(document.get("sha256"), dict):
        raise ConfigError(
            f"{folder / _DOCUMENT} is not of format {FORMAT}, which this reads, but {found!r}.",
            "pip install --upgrade peftsearch",
        )
    seal = document.pop("seal", None)
    if seal != _seal(document) and not (seal is None and set(document) == _EARLY):
        raise ExportError(f"{folder / _DOCUMENT} was changed after it was written.")
    for name, digest in document["sha256"].items():
        if not (folder / name).is_file() or _sha256(folder / name) != digest:
            raise ExportError(f"{folder / name} is missing or was changed after it was written.")
    return dict(document)


def _check_order(folder: Path, document: Mapping[str, Any], architecture: Architecture) -> None:
    """Refuse an order of composition that is not the one of this installation."""
    here = composition_order(architecture.methods)
    there = document.get("composition_order", here)
    if there != here:
        raise ConfigError(
            f"{folder} composes its methods in the order {', '.join(there)}; here the order is "
            f"{', '.join(here)}, which is another function."
        )


def _compare(model: Any, folder: Path) -> None:
    tensors = _tensors(folder / _CHECK)
    if not tensors:
        raise ConfigError(f"{folder} holds no check input.", "peftsearch.load(folder)")
    wanted = tensors.pop("logits")
    inputs = {name.removeprefix("inputs/"): tensor for name, tensor in tensors.items()}
    difference = largest_difference(logits_of(model, inputs), wanted)
    if difference > TOLERANCE * max(1.0, float(wanted.abs().max())):
        raise ExportError(
            f"{folder} was made on another backbone: the logits of its check input differ by "
            f"{difference:.2e}."
        )


def _tensors(path: Path) -> dict[str, Tensor]:
    return load_file(path) if path.is_file() else {}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _seal(document: Mapping[str, Any]) -> str:
    """Hash a document: keys sorted, no white space, UTF-8."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
