"""Configs of the adapters library become architectures of as many parameters, or are refused.

Folders are written by that library itself where its interpreter is there, and by our exporter for
it everywhere.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import peftsearch
from peftsearch.architecture import Choice
from peftsearch.backbones.base import is_inserted, wrap
from peftsearch.errors import ConfigError, ExportError, MissingError
from peftsearch.export import adapters
from peftsearch.importing.reading import import_architecture, import_model
from tests.models import FACTORIES
from tests.unit.export.adapters_material import FAMILIES, METHODS, MODELS, PYTHON, needs_library
from tests.unit.export.material import bundle_of, fitting

BN = {"mh_adapter": True, "output_adapter": True, "non_linearity": "relu"}
PLAIN = {"original_ln_before": False, "non_linearity": "relu"}
#: What that library is asked for: family, config class and options, and where it lands here.
TAKEN: dict[str, tuple[str, str, dict[str, Any], set[str]]] = {
    "LoRA as it comes": ("bert", "LoRAConfig", {}, {"lora"}),
    "LoRA everywhere": (
        "t5",
        "LoRAConfig",
        {
            "r": 3,
            "attn_matrices": ["q", "k", "v"],
            "intermediate_lora": True,
            "output_lora": True,
            "leave_out": [1, 2],
        },
        {"lora"},
    ),
    "IA3 in T5": ("t5", "IA3Config", {"leave_out": [0]}, {"ia3"}),
    "IA3 without feed-forwards": ("roberta", "IA3Config", {"intermediate_lora": False}, {"ia3"}),
    "Houlsby's with ReLU": (
        "roberta",
        "DoubleSeqBnConfig",
        {"non_linearity": "relu", "reduction_factor": 5},
        {"adapter"},
    ),
    "Pfeiffer's behind the map": (
        "t5",
        "SeqBnConfig",
        PLAIN | {"reduction_factor": 7},
        {"adapter"},
    ),
    "sizes by layer": (
        "bart",
        "BnConfig",
        BN | {"cross_adapter": True, "reduction_factor": {"0": 2, "3": 10.5, "default": 4}},
        {"adapter"},
    ),
    "parallel": (
        "bert",
        "ParBnConfig",
        {"scaling": 1.0, "reduction_factor": 4},
        {"parallel_adapter"},
    ),
    "prefixes": ("bert", "PrefixTuningConfig", {"flat": True, "prefix_length": 4}, {"prefix"}),
    "prefixes in an encoder": (
        "bart",
        "PrefixTuningConfig",
        {"flat": True, "prefix_length": 5, "cross_prefix": False, "leave_out": [0, 2, 3]},
        {"prefix"},
    ),
    "a union": (
        "bert",
        "ConfigUnion",
        {
            "configs": [
                ["LoRAConfig", {"r": 2}],
                ["SeqBnConfig", PLAIN | {"reduction_factor": 8}],
            ]
        },
        {"lora", "adapter"},
    ),
}
#: What is refused: family, config class and options, and a part of a line of the error.
REFUSED: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "Pfeiffer's": (
        "bert",
        "SeqBnConfig",
        {},
        "encoder.01.feed_forward: adapter: original_ln_before is true, and here it is false",
    ),
    "swish": (
        "bert",
        "DoubleSeqBnConfig",
        {},
        'encoder.00.attention: adapter: non_linearity is "swish", and here it is "relu"',
    ),
    "parallel, scaled": (
        "bert",
        "ParBnConfig",
        {},
        "encoder.00.feed_forward: parallel_adapter: scaling is 4.0, and here it is 1.0",
    ),
    "parallel in T5": (
        "t5",
        "ParBnConfig",
        {"scaling": 1.0},
        "decoder.01.feed_forward: parallel_adapter: adapters feeds a parallel bottleneck from",
    ),
    "a prefix behind a network": (
        "bert",
        "PrefixTuningConfig",
        {"bottleneck_size": 8},
        "encoder.00.attention: prefix: flat is false, and here it is true",
    ),
    "prefixes in T5": (
        "t5",
        "PrefixTuningConfig",
        {"flat": True, "prefix_length": 2},
        "encoder.00.attention: prefix: adapters shifts the relative position bias",
    ),
    "IA3 before GELU": (
        "bert",
        "IA3Config",
        {},
        "encoder.00.feed_forward: ia3: adapters rescales before the activation",
    ),
    "DoRA": ("bert", "DoRAConfig", {}, "encoder.00.attention: lora: use_dora is true"),
    "gates": ("bert", "LoRAConfig", {"use_gating": True}, "lora: use_gating is true"),
    "Compacter": (
        "bert",
        "CompacterConfig",
        {"phm_dim": 2, "reduction_factor": 8},
        "adapter: phm_layer is true",
    ),
    "invertible": ("bert", "SeqBnInvConfig", PLAIN, 'adapter: inv_adapter is "nice"'),
    "a prompt": ("bert", "PromptTuningConfig", {}, "all sites: prompt_tuning: peftsearch has no"),
    "interventions": ("bert", "LoReftConfig", {}, "all sites: reft: peftsearch has no such method"),
}
ASKED = {**{n: e[:3] for n, e in TAKEN.items()}, **{n: e[:3] for n, e in REFUSED.items()}}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, int]]:
    """Let that library save everything in one start; return the folders and its counts."""
    work = tmp_path_factory.mktemp("theirs")
    jobs = []
    for number, (family, config, options) in enumerate(ASKED.values()):
        model = FACTORIES[family]()
        if not (work / family).exists():
            model.save_pretrained(work / family)
        job = {"cls": type(model).__name__, "model": str(work / family), "config": config}
        jobs.append({**job, "options": options, "folder": str(work / f"adapter {number}")})
    (work / "jobs.json").write_text(json.dumps(jobs))
    script = Path(__file__).with_name("adapters_writer.py")
    done = subprocess.run([PYTHON, "-I", script, work], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    counts = json.loads((work / "counts.json").read_text())
    return {
        name: (Path(job["folder"]), count)
        for name, job, count in zip(ASKED, jobs, counts, strict=True)
    }


@needs_library
@pytest.mark.parametrize("name", TAKEN)
def test_it_trains_as_many_parameters_as_that_library(
    name: str, saved: dict[str, tuple[Path, int]]
) -> None:
    folder, count = saved[name]
    family, _, options, methods = TAKEN[name]
    model = FACTORIES[family]()
    found = import_architecture(folder, model)
    assert found.num_params == count > 0
    assert set(found.methods) == methods
    peftsearch.apply(model, found)
    inserted = [p for n, p in model.named_parameters() if is_inserted(n)]
    assert sum(p.numel() for p in inserted) == count
    assert import_architecture(folder / "adapter_config.json", FACTORIES[family]()) == found
    layers = {choice.site[:10] for choice in found.active}
    assert len(layers) == len({c.site[:10] for c in found.choices}) - len(
        options.get("leave_out", ())
    )


@needs_library
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_something_else_there_is_refused(
    name: str, saved: dict[str, tuple[Path, int]]
) -> None:
    family, _, _, line = REFUSED[name]
    with pytest.raises(ExportError, match="cannot be expressed as an architecture") as caught:
        import_architecture(saved[name][0], FACTORIES[family]())
    assert line in caught.value.message


@needs_library
def test_of_another_model(saved: dict[str, tuple[Path, int]]) -> None:
    folder = saved["LoRA as it comes"][0]
    with pytest.raises(ConfigError, match="made for a model of model_type bert"):
        import_architecture(folder, FACTORIES["t5"]())
    with pytest.raises(ConfigError, match="made for a model of hidden_size 32"):
        import_architecture(folder, FACTORIES["bert"](width=40))
    with pytest.raises(MissingError, match="whose weights are pickles and are not read"):
        import_model(folder, FACTORIES["bert"]())


def _canonical(choices: Iterable[Choice]) -> set[tuple[str, str, int, tuple[str, ...]]]:
    return {(c.site, c.method, c.size, tuple(sorted(c.modules))) for c in choices}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("family", FAMILIES)
def test_there_and_back_through_an_export(family: str, seed: int, tmp_path: Path) -> None:
    """Random mixtures that can be held: the same architecture, choice by choice."""
    name, more = FAMILIES[family]
    backbone = wrap("test", MODELS[name](**more))
    choices = fitting("adapters", backbone, METHODS, seed)
    assert choices
    bundle = bundle_of(backbone, choices)
    factors = {k: t.abs() for k, t in bundle.weights.items() if "/ia3/" in k}  # none is negative
    bundle = replace(bundle, weights={**bundle.weights, **factors}, python=Path(sys.executable))
    adapters.write(bundle, tmp_path)
    found = import_architecture(tmp_path, MODELS[name](**more))
    assert _canonical(found.active) == _canonical(choices)
    assert found.num_params == bundle.architecture.num_params


def _config(folder: Path, **config: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return path


def test_a_config_without_a_folder(tmp_path: Path) -> None:
    """As written by hand: what is not said is as that library takes it."""
    path = _config(tmp_path, architecture="lora", r=5)
    found = import_architecture(path, FACTORIES["bert"]())
    assert {(c.method, c.size, c.modules) for c in found.active} == {("lora", 5, ("q", "v"))}
    path = _config(tmp_path, architecture="prefix_tuning", prefix_length=3)
    with pytest.raises(ExportError, match="flat is false"):
        import_architecture(path, FACTORIES["bert"]())


def test_keys_of_a_later_version_are_not_passed_over(tmp_path: Path) -> None:
    path = _config(tmp_path, architecture="lora", r=5, cleverness=2)
    with pytest.raises(ExportError, match=r"encoder\.01\.attention: lora: cleverness is not known"):
        import_architecture(path, FACTORIES["bert"]())


def test_a_factor_that_leaves_nothing(tmp_path: Path) -> None:
    path = _config(tmp_path, mh_adapter=True, output_adapter=False, reduction_factor=33, **PLAIN)
    with pytest.raises(ExportError, match="the reduction factor 33 leaves no units"):
        import_architecture(path, FACTORIES["bert"]())


@pytest.mark.parametrize(
    "config",
    [
        {"mh_adapter": True},
        {"mh_adapter": True, "reduction_factor": 0},
        {"mh_adapter": True, "reduction_factor": {"7": 2}},
        {"architecture": "lora", "r": "many"},
        {"architecture": "lora", "r": -1},
        {"architecture": "lora", "r": 2.5},
        {"architecture": "prefix_tuning", "prefix_length": float("inf")},
        {"architecture": "lora", "leave_out": 3},
        {"architecture": "union", "configs": ["lora"]},
        {"architecture": ["lora"]},
    ],
)
def test_what_is_no_config(config: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no config of the adapters library"):
        import_architecture(_config(tmp_path, **config), FACTORIES["bert"]())


def test_a_setup_that_names_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "adapter_setup.json").write_text(json.dumps({"adapter_setup": "."}))
    with pytest.raises(ConfigError, match=r"adapter_config\.json"):
        import_architecture(tmp_path, FACTORIES["bert"]())


def test_a_fusion_is_not_one_model(tmp_path: Path) -> None:
    setup = {"adapter_setup": {"type": "Fuse", "children": []}}
    (tmp_path / "adapter_setup.json").write_text(json.dumps(setup))
    with pytest.raises(ConfigError, match="has a Fuse; only a Stack"):
        import_architecture(tmp_path, FACTORIES["bert"]())


def test_a_named_config(tmp_path: Path) -> None:
    path = _config(tmp_path, config="pfeiffer")
    with pytest.raises(ConfigError, match="names the config 'pfeiffer'"):
        import_architecture(path, FACTORIES["bert"]())
