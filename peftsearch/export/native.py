"""The project's own format: any architecture, exact.

``architecture.json`` (keyed by stack, layer and part), ``adapter.safetensors`` (keys
``site/method/anchor/tensor``), ``head.safetensors``, ``check.safetensors`` (a small input and
its logits) and ``native.json`` (format, base model, hashes).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from peftsearch.architecture import Architecture
from peftsearch.backbones.base import Backbone, head_parameters
from peftsearch.backbones.loading import load_backbone
from peftsearch.checkpoint import restore_weights
from peftsearch.errors import ConfigError, ExportError
from peftsearch.export.base import Bundle, Entry, Evidence, Problem, logits_of
from peftsearch.export.patching import patched
from peftsearch.injection import apply, insertions_of, load_state, state, unapply
from peftsearch.rundir import atomic_path, read_json, write_json

EXPORTER = {
    "name": "native",
    "title": "peftsearch's own format: any architecture, loaded by peftsearch.load",
    "holds": {},
    "otherwise": "",
}
FORMAT = 1
_FILES = ("adapter.safetensors", "head.safetensors", "check.safetensors")


def problems(architecture: Architecture, backbone: Backbone) -> list[Problem]:
    """Return nothing: every architecture can be held."""
    return []


def write(bundle: Bundle, folder: Path) -> None:
    """Write a trained architecture."""
    check = {f"inputs/{name}": tensor for name, tensor in bundle.check_inputs.items()}
    check["logits"] = bundle.check_logits
    tensors = (dict(bundle.weights), dict(bundle.head), check)
    num_labels = getattr(bundle.backbone.model.config, "num_labels", 2)
    _write(folder, bundle.architecture, tensors, num_labels)


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
    folder: Path,
    architecture: Architecture,
    tensors: tuple[dict[str, Tensor], ...],
    num_labels: int,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    hashes = {}
    for name, content in zip(_FILES, tensors, strict=True):
        (folder / name).unlink(missing_ok=True)
        if content:
            with atomic_path(folder / name) as temporary:
                save_file({k: t.contiguous() for k, t in content.items()}, temporary)
            hashes[name] = _sha256(folder / name)
    architecture.save(folder / "architecture.json")
    facts = {"format": FORMAT, "base": architecture.model, "num_labels": num_labels}
    write_json(folder / "native.json", {**facts, "sha256": hashes})


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
    tensors: tuple[dict[str, Tensor], ...] = (state(insertions_of(model)), head, {})
    num_labels = getattr(model.config, "num_labels", 2)
    _write(Path(folder), model.peftsearch_architecture, tensors, num_labels)


def load(folder: str | Path, model: Any = None) -> Any:
    """Load what :func:`save` or ``peftsearch export --to native`` wrote.

    Args:
        folder: The folder.
        model: The backbone to put it on; by default it is loaded by the name it was found on.

    Returns:
        The model, with the trained layers inserted and still trainable.

    Raises:
        ConfigError: Not such a folder, an unknown format, a file that was changed.
        MissingError: The backbone cannot be loaded.
    """
    folder = Path(folder)
    facts = read_json(folder / "native.json")
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise ConfigError(f"{folder}/native.json is not of format {FORMAT}, which this reads.")
    for name, digest in facts["sha256"].items():
        if not (folder / name).is_file() or _sha256(folder / name) != digest:
            raise ExportError(f"{folder / name} is missing or was changed after it was written.")
    if model is None:
        model = load_backbone(facts["base"], facts["num_labels"]).model
    apply(model, Architecture.load(folder / "architecture.json"))
    try:
        load_state(insertions_of(model), _tensors(folder / "adapter.safetensors"))
        restore_weights(dict(head_parameters(model)), _tensors(folder / "head.safetensors"))
    except (SafetensorError, KeyError, RuntimeError, ConfigError) as error:
        unapply(model)
        raise ConfigError(f"{folder} does not fit this model: {error}") from error
    return model


def _tensors(path: Path) -> dict[str, Tensor]:
    return load_file(path) if path.is_file() else {}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
