"""Backbones on the disk and exports of them, seen from the interpreter with the adapters library.

That library runs beside transformers 4.57 only. Exports are therefore written first, and looked at
together in one start of the other interpreter.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from safetensors.torch import save_file

from peftsearch.architecture import Choice
from peftsearch.backbones.base import Backbone, wrap
from peftsearch.export import adapters, writing
from peftsearch.export.base import Bundle, Evidence
from tests.conftest import ROOT
from tests.models import FACTORIES, KIN
from tests.unit.export.material import bundle_of

TARGET = "adapters"
PYTHON = Path(
    os.environ.get("PEFTSEARCH_ADAPTERS_PYTHON", ROOT / ".venv-adapters" / "bin" / "python")
)
METHODS = ("lora", "ia3", "adapter", "parallel_adapter", "prefix")
MODELS = {**KIN, **FACTORIES}
#: Those that are held at all: encoder-decoders, encoders, decoders, and what sees or hears.
HELD = (
    *("t5", "t5_v1_1", "mt5", "byt5", "bart", "mbart", "bart_classifier", "plbart"),
    *("bert", "roberta", "xlm_roberta", "electra", "distilbert", "albert"),
    *("deberta_v2", "deberta_v3"),
    *("gpt2", "gpt2_classifier", "llama", "llama_classifier", "mistral", "qwen2", "qwen3"),
    *("gemma2", "gemma3", "phi", "vit", "clip", "whisper"),
)
#: The same, and some in which IA3 is the same before and behind the activation.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in HELD},
    "bert_relu": ("bert", {"hidden_act": "relu"}),
    "bart_relu": ("bart", {"activation_function": "relu"}),
    "distilbert_relu": ("distilbert", {"activation": "relu"}),
    "gpt2_relu": ("gpt2", {"activation_function": "relu"}),
    "vit_relu": ("vit", {"hidden_act": "relu"}),
}
needs_library = pytest.mark.skipif(
    not PYTHON.is_file(),
    reason="the adapters library lives in an environment of its own, which is not there: "
    "make adapters-env (or PEFTSEARCH_ADAPTERS_PYTHON)",
)


def stored(family: str, root: Path) -> Backbone:
    """Return a tiny backbone of any family that lies in a folder of its own."""
    even = ("bart", {"decoder_attention_heads": 4})
    name, more = even if family == "bart_even" else FAMILIES.get(family, (family, {}))
    return on_disk(MODELS[name](**more), root / "backbones" / family)


def on_disk(model: Any, folder: Path) -> Backbone:
    """Return a model as a backbone that a folder holds."""
    if not folder.exists():
        _save(model, folder)
    return wrap(str(folder), model)


def _save(model: Any, folder: Path) -> None:
    """Save a model as checkpoints on the Hub are: transformers 5 writes T5's ties in its own way.

    There a T5 always has its head tied, in word; what ties in deed is whether a head is stored.
    """
    model.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    if config["model_type"] in ("t5", "mt5"):
        tied = config["model_type"] == "t5" and model.config.scale_decoder_outputs
        config["tie_word_embeddings"] = tied
        (folder / "config.json").write_text(json.dumps(config))
        tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def named(bundle: Bundle) -> Bundle:
    """Return a bundle that says where its backbone lies, and what looks at it."""
    found = replace(bundle.architecture, model=bundle.backbone.name)
    return replace(bundle, architecture=found, python=PYTHON)


def trained(backbone: Backbone, choices: Iterable[Choice], std: float = 0.2) -> Bundle:
    """Return choices with weights as if trained."""
    return named(bundle_of(backbone, choices, std=std))


class Looked(NamedTuple):
    """An export, and what that library made of it."""

    bundle: Bundle
    folder: Path
    seen: Evidence | str

    @property
    def check(self) -> dict[str, Any]:
        """The verdict, where there is something to judge."""
        assert isinstance(self.seen, Evidence), self.seen
        return writing.verdict(self.bundle, TARGET, self.seen)


def look_at(folders: Mapping[str, tuple[Bundle, Path]]) -> dict[str, Looked]:
    """Look at everything that was written, by name."""
    seen = adapters.look(list(folders.values()))
    found = zip(folders.items(), seen, strict=True)
    return {name: Looked(*export, each) for (name, export), each in found}


def written(bundles: Mapping[str, Bundle], root: Path) -> dict[str, tuple[Bundle, Path]]:
    """Write exports, refused ones too, each into a folder of its name."""
    for name, bundle in bundles.items():
        (root / name).mkdir()
        adapters.write(bundle, root / name)
    return {name: (bundle, root / name) for name, bundle in bundles.items()}
