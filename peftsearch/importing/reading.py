"""From somebody else's adapter to an architecture, and to a model with its weights.

Place in the flow: a folder of PEFT or of the adapters library -> architecture -> the same as for
one that was searched: ``apply``, exports, a baseline of a run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from peftsearch.architecture import Architecture
from peftsearch.backbones.base import Backbone, head_parameters, wrap
from peftsearch.backbones.loading import load_backbone, quiet, sketch_backbone
from peftsearch.checkpoint import restore_weights
from peftsearch.errors import ConfigError, ExportError, MissingError
from peftsearch.export.base import TOLERANCE, largest_difference, logits_of
from peftsearch.export.patching import patched
from peftsearch.export.peft import CONFIG, ORDER, WEIGHTS, chained
from peftsearch.export.sample import sample_inputs
from peftsearch.importing import adapters, peft
from peftsearch.importing.peft_weights import head_of, weights_of
from peftsearch.importing.pieces import NO_TASK, assemble, refusal, twice
from peftsearch.injection import apply, insertions_of, load_state, unapply
from peftsearch.rundir import read_json

Sketch = Callable[[], Backbone]
#: The weight of a task head that has a row for each label.
_LABELS = re.compile(r".*\.(?:classifier|classification_head|score)(?:\.out_proj)?\.weight")


def import_architecture(
    path: str | Path, model: Any, task: str = NO_TASK, backbone: str | None = None
) -> Architecture:
    """Read an adapter of PEFT or of the adapters library as an architecture.

    Args:
        path: A folder with ``adapter_config.json`` of either library, a setup of the adapters
            library, an export of this package for either, or a JSON file with a config.
        model: The backbone it was made for: a name as for ``--model``, or the model itself, which
            is not changed. A name is enough; no weights are loaded.
        task: What the architecture says that it was found on.
        backbone: A file that says where the parts of a model stand that is given by name.

    Returns:
        The architecture, with a budget that just holds it. LoRA's scale, dropout, starts and
        learning rates are no part of one.

    Raises:
        ConfigError: There is no such adapter, or it was made for another model.
        ExportError: Something of it has no place in an architecture; all is listed.
        MissingError: The backbone cannot be had.
    """
    path = Path(path)
    sketch = _sketch(model, path, backbone)
    if _is_peft(path):
        return _from_peft(path, sketch, task)[0]
    return adapters.read(path, sketch(), task)


def import_model(
    path: str | Path, model: Any, task: str = NO_TASK, backbone: str | None = None
) -> Any:
    """Load a PEFT adapter with its weights, for training on or for exports.

    Args:
        path: A folder with ``adapter_config.json`` and ``adapter_model.safetensors``, or a chain
            of them that this package exported.
        model: The backbone: a name as for ``--model``, or the model itself, which is changed.
        task: What the architecture says that it was found on.
        backbone: As for :func:`import_architecture`.

    Returns:
        The model, with the layers inserted and trainable. Where it is in float32, its logits were
        compared with PEFT's own.

    Raises:
        ConfigError: There is no such adapter, or it was made for another model.
        ExportError: Something of it has no place in an architecture, or the logits differ.
        MissingError: There are no weights that can be read without running code.
    """
    path = Path(path)
    if not _is_peft(path):
        raise MissingError(
            f"{path} is of the adapters library, whose weights are pickles and are not read.",
            "The architecture alone can be imported: leave out --native.",
        )
    architecture, folders = _from_peft(path, _sketch(model, path, backbone), task)
    for folder in folders:
        if not folder.tensors:
            raise MissingError(f"{folder.path} has no {WEIGHTS}, and other files are not read.")
    if isinstance(model, str):
        model = load_backbone(model, _labels(path), description=backbone).model
    weights, head = weights_of(folders, model), head_of(folders)
    wanted = _theirs(model, folders)
    apply(model, architecture)
    load_state(insertions_of(model), weights)
    if head:
        restore_weights(dict(head_parameters(model)), head)
    _compare(model, wanted, path)
    return model


def _is_peft(path: Path) -> bool:
    """Tell the two libraries apart by their files.

    Raises:
        ConfigError: It is neither's.
    """
    if not path.exists():
        raise ConfigError(f"{path} does not exist.")
    if (path / adapters.SETUP).is_file():
        return False
    if (path / ORDER).is_file():
        return True
    file = path / CONFIG if path.is_dir() else path
    data = read_json(file) if file.is_file() else None
    if isinstance(data, dict):
        if "peft_type" in data and path.is_dir():
            return True
        if "peft_type" not in data and {"config", "architecture", "mh_adapter"} & set(data):
            return False
    raise ConfigError(
        f"{path} is no adapter of PEFT or of the adapters library.",
        f"Give the folder that holds {CONFIG}.",
    )


def _sketch(model: Any, path: Path, description: str | None) -> Sketch:
    """Return what makes an empty copy of the backbone; a reader may change it."""
    if isinstance(model, str):
        name, labels = model, _labels(path)
        return lambda: sketch_backbone(name, labels, description=description)
    kind, config = type(model), model.config
    given = getattr(model, "peftsearch_description", None)

    def made() -> Backbone:
        with torch.device("meta"):
            return wrap(str(config._name_or_path), kind(deepcopy(config)), description=given)

    return made


def _labels(path: Path) -> int:
    """Return how many labels the head in a PEFT folder has; 0 if there is none."""
    if not _is_peft(path):
        return 0
    shapes = [
        len(tensor)
        for folder in peft.chain(path)
        for key, tensor in peft.tensors_of(folder).items()
        if _LABELS.fullmatch(key)
    ]
    return shapes[-1] if shapes else 0


def _from_peft(path: Path, sketch: Sketch, task: str) -> tuple[Architecture, list[peft.Folder]]:
    folders = [peft.read(each, sketch()) for each in peft.chain(path)]
    pieces = [one.piece for folder in folders for one in folder.trained]
    found = [problem for folder in folders for problem in folder.problems]
    found += [*twice(pieces), *peft.out_of_order(folders)]
    if found:
        raise refusal(path, found)
    return assemble(pieces, sketch(), task), folders


def _theirs(model: Any, folders: list[peft.Folder]) -> torch.Tensor | None:
    """Return the logits that PEFT itself gives; ``None`` where there is nothing to compare."""
    inputs = sample_inputs(model)
    if inputs is None or any(p.dtype != torch.float32 for p in model.parameters()):
        return None
    # A trained bias of the backbone is loaded into the backbone itself.
    own = [f"{one.path}.bias" for folder in folders for one in folder.trained if one.in_place]
    before = {name: model.get_parameter(name).detach().clone() for name in own}
    with quiet(), patched(model, before):
        with chained(model, [folder.path for folder in folders]) as adapted:
            return logits_of(adapted, inputs)


def _compare(model: Any, wanted: torch.Tensor | None, path: Path) -> None:
    if wanted is None:
        return
    inputs = sample_inputs(model)
    assert inputs is not None
    difference = largest_difference(logits_of(model, inputs), wanted)
    if difference > TOLERANCE * max(1.0, float(wanted.abs().max())):
        unapply(model)
        raise ExportError(f"{path}: PEFT's logits differ from ours by {difference:.2e}.")
