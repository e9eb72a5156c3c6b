"""What the exporter for the adapters library writes, that library loads: same logits, same counts.

That library runs beside transformers 4.57 only. All exports of this file are therefore written
first and looked at in one start of the other interpreter, except where that start is the thing
that is tested.
"""

from __future__ import annotations

import dataclasses
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from peftsearch.architecture import Choice
from peftsearch.backbones.base import Backbone
from peftsearch.catalogue import exporters
from peftsearch.errors import ExportError, MissingError
from peftsearch.export import adapters, writing
from peftsearch.export.base import Bundle, Evidence
from tests.conftest import ROOT
from tests.models import FACTORIES
from tests.unit.export.material import bundle_of, choice, fresh, random_choices

TARGET = "adapters"
PYTHON = Path(
    os.environ.get("PEFTSEARCH_ADAPTERS_PYTHON", ROOT / ".venv-adapters" / "bin" / "python")
)
METHODS = ("lora", "ia3", "adapter", "parallel_adapter", "prefix")
#: Models beside those of every family: in these IA3 is the same before and behind the activation.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in FACTORIES},
    "bert_relu": ("bert", {"hidden_act": "relu"}),
    "bart_relu": ("bart", {"activation_function": "relu"}),
}
SEEDS = (0, 1)
needs_library = pytest.mark.skipif(
    not PYTHON.is_file(),
    reason="the adapters library has an environment of its own, which is not there: "
    "make adapters-env, or PEFTSEARCH_ADAPTERS_PYTHON",
)


def _backbone(family: str) -> Backbone:
    name, more = FAMILIES[family]
    return fresh(name, **more)


def _mirrored(backbone: Backbone, choices: list[Choice]) -> list[Choice]:
    """Give a decoder layer's cross-attention what its self-attention has, LoRA and IA3 alike."""
    kept, both = [], ("lora", "ia3")
    for each in choices:
        if each.site.endswith("cross_attention") and each.method in both:
            continue
        kept.append(each)
        if each.site.startswith("decoder") and each.site.endswith(".attention"):
            if each.method in both:
                twin = each.site.replace("attention", "cross_attention")
                kept.append(choice(backbone, twin, each.method, each.size, *each.modules))
    return kept


def _fitting(backbone: Backbone, seed: int) -> list[Choice]:
    """Return random choices, without those that are refused: one goes at a time."""
    drawn = random.Random(seed)
    choices = _mirrored(backbone, random_choices(backbone, METHODS, seed))
    while True:
        architecture = bundle_architecture(backbone, choices)
        refused = {(p.site, p.method) for p in writing.problems(TARGET, architecture, backbone)}
        wrong = [c for c in choices if (c.site, c.method) in refused]
        if not wrong:
            return choices
        choices.remove(drawn.choice(wrong))


def bundle_architecture(backbone: Backbone, choices: list[Choice]) -> Any:
    from peftsearch import testing

    return testing.architecture_of(backbone, choices)


def _bundle(backbone: Backbone, choices: list[Choice]) -> Bundle:
    return dataclasses.replace(bundle_of(backbone, choices, std=0.2), python=PYTHON)


class Looked(NamedTuple):
    """One export, and what that library made of it."""

    bundle: Bundle
    folder: Path
    seen: Evidence | str


def _written(bundle: Bundle, folder: Path) -> tuple[Bundle, Path]:
    folder.mkdir(parents=True)
    adapters.write(bundle, folder)
    return bundle, folder


#: Single choices that are refused, and what that library really computes for them.
OTHERWISE = {
    "a prefix in T5": ("t5", "encoder.01.attention", "prefix", ()),
    "a prefix in T5's first layer": ("t5", "encoder.00.attention", "prefix", ()),
    "a prefix in a BART decoder": ("bart_even", "decoder.00.attention", "prefix", ()),
    "a parallel adapter in T5": ("t5", "encoder.00.feed_forward", "parallel_adapter", ()),
    "a parallel adapter in mBART": ("mbart", "decoder.01.feed_forward", "parallel_adapter", ()),
    "IA3 before GELU": ("bert", "encoder.00.feed_forward", "ia3", ()),
}
FAMILIES["bart_even"] = ("bart", {"decoder_attention_heads": 4})


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Looked]:
    """Write everything, look once."""
    root = tmp_path_factory.mktemp("adapters")
    exports = {}
    for family in FAMILIES:
        backbone = _backbone(family)
        for seed in SEEDS:
            name = f"{family}-{seed}"
            torch.manual_seed(seed)
            exports[name] = _written(_bundle(backbone, _fitting(backbone, seed)), root / name)
    for name, (family, site, method, modules) in OTHERWISE.items():
        backbone = _backbone(family)
        one = choice(backbone, site, method, 3, *modules)
        exports[name] = _written(_bundle(backbone, [one]), root / name.replace(" ", "-"))
    found = adapters.look(list(exports.values()))
    return {
        name: Looked(bundle, folder, seen)
        for (name, (bundle, folder)), seen in zip(exports.items(), found, strict=True)
    }


@needs_library
def test_dump(looked: dict[str, Looked]) -> None:
    for name, each in looked.items():
        if isinstance(each.seen, str):
            print(name, "ERROR", each.seen)
            continue
        check = writing.verdict(each.bundle, TARGET, each.seen)
        print(name, check["verified"], f"{check['max_logit_difference']:.1e}", check["tolerance"], check["num_params"], sum(e["trained"] for e in check["entries"]), [e["name"] for e in check["entries"]], [ (e.name, e.num_params, e.trained) for e in each.seen.entries if e.num_params != e.trained])
