"""Every exporter on checkpoints as they lie about: half precision, shards, ties, odd widths, dots.

The backbone is loaded from disk as a run loads it. What was written is then loaded again by the
target alone, onto a copy that comes from disk too.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.utils import logging

import peftsearch
from peftsearch.architecture import Choice
from peftsearch.backbones.base import Backbone, wrap
from peftsearch.export import merged
from peftsearch.export.base import Bundle, logits_of, untrained
from peftsearch.export.peft import ORDER, chained
from peftsearch.export.writing import export, problems
from peftsearch.rundir import read_json
from tests.models import EACH_FAMILY, FACTORIES, inputs
from tests.unit.export.material import architecture, bundle_of, choice, random_choices

TARGETS = ("native", "peft", "peft-serving", "merged", "trl")
METHODS = {"peft-serving": ["lora"], "merged": ["lora", "ia3", "layernorm"]}
#: Folder, settings of the model, and how it is stored.
CHECKPOINTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "bfloat16": ("half", {}, {"dtype": torch.bfloat16}),
    "float16": ("half", {}, {"dtype": torch.float16}),
    "shards": ("parts", {}, {"max_shard_size": "10KB"}),
    "bfloat16 shards": ("parts", {}, {"dtype": torch.bfloat16, "max_shard_size": "5KB"}),
    "dots": ("my.backbone-v1.0.bin", {}, {}),
    "odd": ("odd", {"width": 20}, {}),
}
FAMILIES = ("t5", "t5_v1_1", "bert")


@pytest.fixture(autouse=True)
def _no_bars() -> None:
    logging.disable_progress_bar()


def _stored(family: str, checkpoint: str, root: Path) -> Backbone:
    """Store a model, and load it as a run does, whose exports are made in float32."""
    name, settings, how = CHECKPOINTS[checkpoint]
    model = FACTORIES[family](**settings)
    options = dict(how)
    model.to(options.pop("dtype", torch.float32)).save_pretrained(root / name, **options)
    half = "bfloat16" in checkpoint
    found = type(model).from_pretrained(
        root / name, dtype=torch.bfloat16 if half else torch.float32
    )
    return wrap(str(root / name), found.float())


def _bundle(target: str, backbone: Backbone) -> Bundle | None:
    """Return what a target can hold of random choices; ``None`` if that is nothing."""
    wanted = METHODS.get(target, ["lora", "ia3", "layernorm"])
    wanted = [*wanted, "adapter", "prefix"] if target == "native" else wanted
    choices: list[Choice] = random_choices(backbone, wanted, 4)
    found = architecture(backbone, choices)
    if problems(target, found, backbone):
        return None
    if target == "trl":
        bundle = untrained(found, backbone, inputs(backbone.model))
    else:
        bundle = bundle_of(backbone, choices, std=0.1)
    return replace(bundle, architecture=replace(found, model=backbone.name))


def _by_the_target(target: str, folder: Path, plain: Any, batch: dict[str, Tensor]) -> Tensor:
    """Load an export onto a plain model, as its users would."""
    if target == "native":
        return logits_of(peftsearch.load(folder, plain, check=True), batch)
    if target == "merged":
        return logits_of(type(plain).from_pretrained(folder), batch)
    folder = folder / "adapter" if target == "trl" else folder
    names = read_json(folder / ORDER)["load_order"] if (folder / ORDER).is_file() else ["."]
    with chained(plain, [folder / name for name in names]) as adapted:
        return logits_of(adapted, batch)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
@pytest.mark.parametrize("target", TARGETS)
def test_an_export_of_it_is_loaded(
    target: str, checkpoint: str, family: str, tmp_path: Path
) -> None:
    backbone = _stored(family, checkpoint, tmp_path)
    bundle = _bundle(target, backbone)
    if bundle is None:
        assert (target, family) in {("peft-serving", "bert"), ("trl", "bert")}
        return
    folder = tmp_path / "exports" / "of.this-v2.0"
    assert export(bundle, target, folder)["verified"]
    plain = type(backbone.model).from_pretrained(backbone.name, dtype=torch.float32)
    found = _by_the_target(target, folder, plain, dict(bundle.check_inputs))
    allowed = 1e-5 * max(1.0, float(bundle.check_logits.abs().max()))
    assert float((found - bundle.check_logits).abs().max()) <= allowed


@pytest.mark.parametrize("family", EACH_FAMILY)
def test_merging_keeps_ties(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same parameters are one tensor as before, in one file or in many."""
    backbone = wrap("test", FACTORIES[family]())
    bundle = bundle_of(backbone, random_choices(backbone, ["lora"], 1))
    ties = _ties(backbone.model)
    for size in ("5GB", "10KB"):
        monkeypatch.setattr(merged, "SHARD", size)
        export(bundle, "merged", tmp_path / size)
        assert _ties(type(backbone.model).from_pretrained(tmp_path / size)) == ties
    config, head = backbone.model.config, backbone.model.get_output_embeddings()
    tied = head is not None and config.tie_word_embeddings
    assert bool(ties) == (config.is_encoder_decoder or tied)


def _ties(model: nn.Module) -> set[frozenset[str]]:
    """Return the groups of parameter names that are one tensor."""
    groups: dict[int, set[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        groups.setdefault(id(parameter), set()).add(name)
    return {frozenset(names) for names in groups.values() if len(names) > 1}


@pytest.mark.parametrize("target", ["native", "peft", "merged"])
@pytest.mark.parametrize("first", ["lora", "ia3", "bitfit"])
def test_several_methods_on_one_module_in_every_order(
    first: str, target: str, tmp_path: Path
) -> None:
    """The file's order means nothing: whichever comes first, the function is the same."""
    backbone = wrap("test", FACTORIES["bart"]())
    site, inner = "decoder.01.cross_attention", "encoder.00.feed_forward"
    choices = [
        choice(backbone, at, method, 3 if method == "lora" else 1, module)
        for at, module in ((site, "v"), (inner, "down"))
        for method in ("lora", "ia3", "bitfit")
    ]
    ordered = sorted(choices, key=lambda one: one.method != first)
    assert ordered[0].method == first
    logits = []
    for number, listed in enumerate((choices, ordered, ordered[::-1])):
        bundle = bundle_of(backbone, choices)
        bundle = replace(bundle, architecture=architecture(backbone, listed))
        assert export(bundle, target, tmp_path / str(number))["verified"]
        plain = FACTORIES["bart"]()
        logits.append(_by_the_target(target, tmp_path / str(number), plain, inputs(plain)))
    for found in logits[1:]:
        assert float((found - logits[0]).abs().max()) <= 1e-5 * float(logits[0].abs().max())
