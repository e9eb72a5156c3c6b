"""Exports that start a training elsewhere: the right start, files that their trainers read."""

from __future__ import annotations

import copy
import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import yaml

from peftsearch import testing
from peftsearch.architecture import Choice
from peftsearch.backbones.base import Backbone
from peftsearch.catalogue import exporters, families, method_facts
from peftsearch.errors import ExportError, MissingError
from peftsearch.export import retraining
from peftsearch.export.base import Bundle, logits_of, untrained
from peftsearch.export.writing import export, problems
from peftsearch.injection import insert_architecture, remove_all, state
from peftsearch.site import PARTS
from tests.decoder_models import DECODERS
from tests.models import FACTORIES, inputs
from tests.unit.export import decoders
from tests.unit.export.material import METHODS, architecture, choice, fresh, random_choices

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning"),
]
TARGETS = ("axolotl", "llamafactory", "trl")
OF_DECODERS = ("axolotl", "llamafactory")
OTHERS = [name for name in FACTORIES if name not in DECODERS]


def loras(backbone: Backbone) -> list[Choice]:
    """Return LoRA of another rank, on other modules, at each layer but one."""
    modules = (("q", "v"), ("k",), ("q", "k", "v", "o"))
    found = []
    for layer, names in enumerate(modules):
        found.append(choice(backbone, f"decoder.{layer:02d}.attention", "lora", layer + 1, *names))
    return [*found, choice(backbone, "decoder.02.feed_forward", "lora", 7, "gate", "down")]


def trained(backbone: Backbone, choices: list[Choice]) -> Bundle:
    """Return weights far from the fresh ones: none of them may be in the start."""
    found = architecture(backbone, choices)
    insertions = insert_architecture(backbone.hosts, found)
    testing.draw(insertions)
    weights, logits = state(insertions), logits_of(backbone.model, decoders.inputs())
    remove_all(insertions)
    return Bundle(found, weights, {}, backbone, decoders.inputs(), logits)


def above(text: str) -> Iterator[tuple[str, str]]:
    """Yield every key at the top of YAML with the line above it."""
    lines = text.splitlines()
    for before, line in itertools.pairwise(lines):
        if line[:1].isalpha():
            yield line.split(":")[0], before


@pytest.mark.parametrize("target", TARGETS)
def test_the_start_is_the_plain_model_with_the_found_ranks(target: str, tmp_path: Path) -> None:
    backbone = decoders.decoder()
    plain = copy.deepcopy(backbone.model)
    bundle = trained(backbone, loras(backbone))
    wanted = logits_of(plain, bundle.check_inputs)
    assert float((bundle.check_logits - wanted).abs().max()) > 0.1
    check = export(bundle, target, tmp_path / "start")
    assert check["verified"], check
    assert check["notes"]["weights"].startswith("untrained")
    loaded = peft.PeftModel.from_pretrained(
        plain, str(tmp_path / "start" / "adapter"), is_trainable=True
    )
    assert loaded.peft_config["default"].task_type == "CAUSAL_LM"
    assert torch.equal(logits_of(loaded, bundle.check_inputs), wanted)
    counted = sum(p.numel() for p in loaded.parameters() if p.requires_grad)
    assert counted == bundle.architecture.num_params
    for one in bundle.architecture.active:
        layer = plain.model.layers[int(one.site[8:10])]
        part = layer.self_attn if one.site.endswith("attention") else layer.mlp
        for name in one.modules:
            tuned = getattr(part, f"{name}_proj")
            assert len(tuned.lora_A["default"].weight) == one.size
            assert tuned.scaling["default"] == 2.0


@pytest.mark.parametrize("target", TARGETS)
def test_every_key_is_explained(target: str, tmp_path: Path) -> None:
    backbone = decoders.decoder()
    export(trained(backbone, loras(backbone)), target, tmp_path / "start")
    text = (tmp_path / "start" / f"{target}.yaml").read_text(encoding="utf-8")
    settings = yaml.safe_load(text)
    assert dict(above(text)).keys() == settings.keys()
    assert all(before.startswith("# ") for _, before in above(text))
    assert str(tmp_path) not in text, "the folder is moved"
    assert settings["learning_rate"] == method_facts()["lora"].learning_rate


def test_axolotl_says_what_the_adapter_says(tmp_path: Path) -> None:
    """Without lora_model_dir, PEFT's own config of Axolotl's keys gives the same layers."""
    backbone = decoders.decoder()
    bundle = trained(backbone, loras(backbone))
    export(bundle, "axolotl", tmp_path / "start")
    given = yaml.safe_load((tmp_path / "start" / "axolotl.yaml").read_text(encoding="utf-8"))
    config = peft.LoraConfig(
        r=given["lora_r"],
        lora_alpha=given["lora_alpha"],
        target_modules=given["lora_target_modules"],
        rank_pattern=given["lora_rank_pattern"],
        alpha_pattern=given["lora_alpha_pattern"],
    )
    start = tmp_path / "start" / "adapter"
    drawn = peft.get_peft_model(copy.deepcopy(backbone.model), config)
    loaded = peft.PeftModel.from_pretrained(copy.deepcopy(backbone.model), str(start))
    assert ranks_and_scales(drawn) == ranks_and_scales(loaded)
    assert len(ranks_and_scales(drawn)) == sum(len(c.modules) for c in bundle.architecture.active)


def ranks_and_scales(model: Any) -> dict[str, tuple[int, float]]:
    """Return what PEFT made of every module with LoRA."""
    return {
        name: (module.r["default"], module.scaling["default"])
        for name, module in model.named_modules()
        if hasattr(module, "lora_A")
    }


def test_llamafactory_finds_the_columns(tmp_path: Path) -> None:
    backbone = decoders.decoder()
    export(trained(backbone, loras(backbone)), "llamafactory", tmp_path / "start")
    given = yaml.safe_load((tmp_path / "start" / "llamafactory.yaml").read_text(encoding="utf-8"))
    described = json.loads((tmp_path / "start" / "dataset_info.json").read_text(encoding="utf-8"))
    assert described[given["dataset"]]["columns"] == {"prompt": "prompt", "response": "completion"}
    assert (tmp_path / "start" / given["adapter_name_or_path"] / "adapter_config.json").is_file()


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_held_is_held_by_peft(target: str) -> None:
    mine, theirs = exporters()[target], exporters()["peft"]
    for method in METHODS:
        for part in PARTS:
            for family in (*families(), "llama"):
                if not mine.reason(method, part, family):
                    assert not theirs.reason(method, part, family), (method, part, family)


@pytest.mark.parametrize("family", OTHERS)
@pytest.mark.parametrize("target", OF_DECODERS)
def test_what_is_no_decoder_is_refused(target: str, family: str) -> None:
    backbone = fresh(family)
    choices = random_choices(backbone, METHODS, 1)
    found = problems(target, architecture(backbone, choices), backbone)
    assert {(p.site, p.method) for p in found} >= {(c.site, c.method) for c in choices}
    assert [p.site for p in found if p.method == "head"] == ["head"]


@pytest.mark.parametrize("family", ["llama", "gpt2", "phi3", "mixtral"])
@pytest.mark.parametrize("target", TARGETS)
def test_families_of_decoders_are_taken(target: str, family: str, tmp_path: Path) -> None:
    """Ranks that differ, on fused maps and on maps stored otherwise too."""
    backbone = fresh(family)
    choices = random_choices(backbone, ("lora",), 1)
    bundle = untrained(architecture(backbone, choices), backbone, inputs(backbone.model))
    check = export(bundle, target, tmp_path / "start")
    assert check["verified"]
    assert check["max_logit_difference"] == 0
    text = (tmp_path / "start" / f"{target}.yaml").read_text(encoding="utf-8")
    assert set(yaml.safe_load(text)) == set(dict(above(text)))


@pytest.mark.parametrize("family", ["llama_classifier", "gpt2_classifier"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_decoder_that_gives_labels_is_refused(target: str, family: str) -> None:
    backbone = fresh(family)
    found = problems(target, architecture(backbone, random_choices(backbone, ("lora",), 1)),
                     backbone)  # fmt: skip
    assert [(p.site, p.method) for p in found] == [("head", "head")]


@pytest.mark.parametrize("family", OTHERS)
def test_trl_trains_what_writes_text(family: str, tmp_path: Path) -> None:
    backbone = fresh(family)
    choices = random_choices(backbone, ("lora", "ia3", "layernorm"), 1)
    found = problems("trl", architecture(backbone, choices), backbone)
    writes = hasattr(backbone.model, "lm_head")
    assert bool(found) != writes
    if writes:
        bundle = untrained(architecture(backbone, choices), backbone, inputs(backbone.model))
        check = export(bundle, "trl", tmp_path / "start")
        assert check["notes"]["trl.yaml"] == "accepted by Seq2SeqTrainingArguments"


def test_a_mixture_is_refused_where_lora_is_all() -> None:
    backbone = decoders.decoder()
    choices = [*loras(backbone), choice(backbone, "decoder.00.feed_forward", "ia3", 1, "down")]
    for target in OF_DECODERS:
        (problem,) = problems(target, architecture(backbone, choices), backbone)
        assert (problem.site, problem.method) == ("decoder.00.feed_forward", "ia3")
        assert "LoRA" in problem.reason


def test_the_lowest_rate_is_taken() -> None:
    backbone = fresh("t5")
    methods = ("ia3", "lora", "layernorm")
    found = architecture(backbone, random_choices(backbone, methods, 1))
    rates = [method_facts()[name].learning_rate for name in methods]
    assert retraining.learning_rate(found) == min(rates) < max(rates)


def bundle_with_python() -> Bundle:
    backbone = decoders.decoder()
    return replace(trained(backbone, loras(backbone)), python=Path(sys.executable))


def test_a_trainer_reads_its_file_in_its_own_interpreter(tmp_path: Path) -> None:
    bundle = bundle_with_python()
    assert retraining.accepted(bundle, tmp_path, "some", "print('1.2')") == "accepted by some 1.2"
    with pytest.raises(ExportError, match="what was written for it: ValueError: no such key"):
        retraining.accepted(bundle, tmp_path, "some", "raise ValueError('no such key')")
    with pytest.raises(MissingError, match="does not have nonesuch") as caught:
        retraining.accepted(bundle, tmp_path, "nonesuch", "import nonesuch")
    assert caught.value.hint.endswith("-m pip install nonesuch")
    alone = replace(bundle, python=None)
    said = retraining.accepted(alone, tmp_path, "nonesuch", "import nonesuch")
    assert "--target-python" in said


@pytest.mark.slow
@pytest.mark.parametrize("target", OF_DECODERS)
def test_the_config_classes_of_the_trainer_accept_the_file(target: str, tmp_path: Path) -> None:
    """Runs where the trainer is installed beside the project."""
    if find_spec(target) is None:
        pytest.skip(f"{target} is not installed")
    check = export(bundle_with_python(), target, tmp_path / "start")
    assert check["notes"][f"{target}.yaml"].startswith(f"accepted by {target} ")
