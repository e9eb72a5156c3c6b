"""PEFT's own folders become architectures: counts and logits equal to PEFT's, or a refusal."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

import peftsearch
from peftsearch import testing
from peftsearch.architecture import Architecture, Choice
from peftsearch.backbones.base import head_parameters, wrap
from peftsearch.backbones.loading import load_backbone
from peftsearch.errors import ConfigError, ExportError, MissingError
from peftsearch.export.writing import export
from peftsearch.importing.reading import import_architecture, import_model
from tests.models import FACTORIES, inputs
from tests.unit.export.material import bundle_of, choice, fresh, random_choices

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Unsupported layer type:UserWarning"),
    pytest.mark.filterwarnings("ignore:Already found a:UserWarning"),
    pytest.mark.filterwarnings("ignore:Detected that the base:UserWarning"),
]

#: Targets as users write them: suffixes, expressions, lists of layers, patterns.
LORA: dict[str, tuple[str, dict[str, Any]]] = {
    "suffixes": ("t5", {"r": 3, "lora_alpha": 5, "target_modules": ["q", "v"]}),
    "expression": ("t5", {"target_modules": r"decoder.*\.(EncDecAttention\.k|wo)"}),
    "one layer": (
        "bert",
        {"target_modules": ["query", "key"], "layers_to_transform": [1], "layers_pattern": "layer"},
    ),
    "patterns": (
        "bart",
        {
            "r": 2,
            "target_modules": ["q_proj", "fc1", "out_proj"],
            "rank_pattern": {"fc1": 7, r"decoder\.layers\.1.*q_proj": 5},
            "alpha_pattern": {"fc1": 3},
        },
    ),
    "excluded": (
        "mbart",
        {"target_modules": ["q_proj", "k_proj"], "exclude_modules": r".*encoder\..*"},
    ),
    "rank stabilised": ("t5_v1_1", {"target_modules": ["wi_0", "wi_1", "o"], "use_rslora": True}),
    "with its biases": ("roberta", {"target_modules": ["value"], "bias": "lora_only"}),
    "whole norms beside": (
        "bert",
        {"target_modules": ["value"], "modules_to_save": ["attention.output.LayerNorm"]},
    ),
    "with the head": ("bert", {"target_modules": ["query"], "task_type": "SEQ_CLS"}),
    "of two layers": (
        "roberta",
        {"target_modules": ["intermediate.dense"], "task_type": "SEQ_CLS"},
    ),
    "text to text": (
        "t5",
        {"target_modules": ["q"], "task_type": "SEQ_2_SEQ_LM", "lora_dropout": 0.3},
    ),
}
OTHERS: dict[str, tuple[str, Any]] = {
    "ia3": ("t5", lambda: peft.IA3Config(task_type="SEQ_2_SEQ_LM")),
    "ia3 of BART": (
        "bart",
        lambda: peft.IA3Config(target_modules=["v_proj", "fc2"], feedforward_modules=["fc2"]),
    ),
    "norms": ("t5", lambda: peft.LNTuningConfig(target_modules=r".*layer\..*layer_norm")),
    "norms with biases": ("bart", lambda: peft.LNTuningConfig(target_modules=r".*_layer_norm")),
    "biases": ("bert", lambda: peft.BeftConfig(target_modules=["query", "intermediate.dense"])),
    "biases where there are none": ("t5", lambda: peft.BeftConfig(target_modules=["q", "wi"])),
}
ALL = {
    name: (family, lambda o=options: peft.LoraConfig(**o))
    for name, (family, options) in LORA.items()
}
ALL |= OTHERS


@torch.no_grad()
def _saved(family: str, config: Any, folder: Path) -> tuple[torch.Tensor, dict[str, int]]:
    """Save an adapter with drawn weights, as PEFT does; return its logits and what it trains."""
    model = FACTORIES[family]()
    batch, heads = inputs(model), dict(head_parameters(model))
    wrapped = peft.get_peft_model(model, config)
    generator = torch.Generator().manual_seed(5)
    counts = {"backbone": 0, "head": 0}
    for name, parameter in wrapped.named_parameters():
        if parameter.requires_grad:
            drawn = torch.randn(parameter.shape, generator=generator) * 0.2
            parameter.add_(drawn)
            counts["head" if "classifier" in name else "backbone"] += parameter.numel()
    wrapped.save_pretrained(str(folder))
    assert not heads or counts["head"] in (0, sum(p.numel() for p in heads.values()))
    return testing.logits(wrapped, batch), counts


@pytest.mark.parametrize("name", ALL)
def test_counts_and_logits_are_those_of_peft(name: str, tmp_path: Path) -> None:
    family, config = ALL[name]
    wanted, counts = _saved(family, config(), tmp_path)
    plain = FACTORIES[family]()
    architecture = import_architecture(tmp_path, plain)
    assert architecture.num_params == counts["backbone"] > 0
    assert Architecture.from_json(architecture.to_json()) == architecture
    assert testing.logits(plain, inputs(plain)).shape == wanted.shape, "the model is not changed"
    model = import_model(tmp_path, plain)
    found = testing.logits(model, inputs(model))
    assert float((found - wanted).abs().max()) <= 1e-5 * max(1.0, float(wanted.abs().max()))
    trained = {n: p.numel() for n, p in model.named_parameters() if p.requires_grad}
    heads = sum(p.numel() for _, p in head_parameters(model))
    assert sum(trained.values()) - heads == counts["backbone"]


@pytest.mark.parametrize("name", ["patterns", "ia3", "norms with biases", "expression"])
def test_the_config_alone_says_the_same(name: str, tmp_path: Path) -> None:
    family, config = ALL[name]
    _saved(family, config(), tmp_path)
    with_tensors = import_architecture(tmp_path, FACTORIES[family]())
    (tmp_path / "adapter_model.safetensors").unlink()
    (tmp_path / "adapter_model.bin").write_bytes(b"a pickle, never opened")
    assert import_architecture(tmp_path, FACTORIES[family]()) == with_tensors
    with pytest.raises(MissingError, match=r"has no adapter_model\.safetensors"):
        import_model(tmp_path, FACTORIES[family]())


def _canonical(choices: Iterable[Choice]) -> set[tuple[str, str, int, str]]:
    return {(c.site, c.method, c.size, module) for c in choices for module in c.modules}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("family", FACTORIES)
def test_there_and_back_through_a_peft_export(family: str, seed: int, tmp_path: Path) -> None:
    """Random mixtures: the same architecture, choice by choice, and the same logits."""
    backbone = fresh(family)
    choices = [
        each
        for each in random_choices(backbone, ["lora", "ia3", "bitfit", "layernorm"], seed)
        # PEFT trains a norm's weight along with its bias, so that comes back as layernorm; and
        # no biases of GPT-2's maps.
        if not (each.method == "bitfit" and (each.site.endswith("norm") or "gpt2" in family))
    ]
    bundle = bundle_of(backbone, choices)
    export(bundle, "peft", tmp_path / "x")
    found = import_architecture(tmp_path / "x", FACTORIES[family]())
    assert _canonical(found.active) == _canonical(choices)
    assert found.num_params == bundle.architecture.num_params
    assert {c.site for c in found.choices} == {site.id for site in backbone.sites}
    model = import_model(tmp_path / "x", FACTORIES[family]())
    difference = (testing.logits(model, bundle.check_inputs) - bundle.check_logits).abs().max()
    assert float(difference) <= 1e-5 * max(1.0, float(bundle.check_logits.abs().max()))


def test_a_trained_norm_bias_comes_back_as_what_peft_trains(tmp_path: Path) -> None:
    backbone = fresh("bert")
    one = choice(backbone, "encoder.00.norm", "bitfit", 1, "attention")
    check = export(bundle_of(backbone, [one]), "peft", tmp_path / "x")
    (found,) = import_architecture(tmp_path / "x", FACTORIES["bert"]()).active
    assert (found.method, found.modules) == ("layernorm", ("attention",))
    assert found.num_params == check["entries"][0]["trained"] == 2 * one.num_params


def test_a_file_for_servers_and_ranks_of_tensors(tmp_path: Path) -> None:
    """The padded file is what it says: one rank. Where the config says another, tensors count."""
    backbone = fresh("t5")
    choices = [
        choice(backbone, "encoder.00.attention", "lora", 1, "q"),
        choice(backbone, "encoder.01.feed_forward", "lora", 4, "up"),
    ]
    bundle = bundle_of(backbone, choices)
    export(bundle, "peft-serving", tmp_path / "x")
    model = import_model(tmp_path / "x", FACTORIES["t5"]())
    assert {c.size for c in model.peftsearch_architecture.active} == {4}
    found = testing.logits(model, bundle.check_inputs)
    torch.testing.assert_close(found, bundle.check_logits, rtol=1e-5, atol=1e-5)
    config = json.loads((tmp_path / "x" / "adapter_config.json").read_text())
    (tmp_path / "x" / "adapter_config.json").write_text(json.dumps({**config, "r": 9}))
    assert import_architecture(tmp_path / "x", FACTORIES["t5"]()).active == (
        model.peftsearch_architecture.active
    )
    with pytest.raises(ExportError, match="tensors have rank 4 and the config another"):
        import_model(tmp_path / "x", FACTORIES["t5"]())


REFUSED: dict[str, tuple[str, Any, dict[str, str]]] = {
    "IA3 on the wrong side": (
        "bert",
        lambda: peft.IA3Config(task_type="SEQ_CLS"),
        {
            f"bert.encoder.layer.{n}.attention.output.dense": "rescales the input of "
            f"encoder.0{n}.attention's o, and here the other side"
            for n in range(2)
        },
    ),
    "all linear maps": (
        "bert",
        lambda: peft.LoraConfig(target_modules="all-linear"),
        {"bert.pooler.dense": "no module of a site"},
    ),
    "an embedding": (
        "t5",
        lambda: peft.LoraConfig(target_modules=["shared", "q"]),
        {"shared": "no module of a site"},
    ),
    "norms at the end of stacks": (
        "t5",
        lambda: peft.LNTuningConfig(target_modules=["final_layer_norm"]),
        {f"{stack}.final_layer_norm": "no module of a site" for stack in ("encoder", "decoder")},
    ),
    "every bias": (
        "bert",
        lambda: peft.LoraConfig(target_modules=["query"], bias="all"),
        {
            "bert.embeddings.LayerNorm": "no module of a site",
            "bert.pooler.dense": "no module of a site",
        },
    ),
    "whole modules": (
        "bart",
        lambda: peft.LoraConfig(target_modules=["q_proj"], modules_to_save=["fc1"]),
        {
            f"model.{stack}.layers.{n}.fc1": "the whole module is trained"
            for stack in ("encoder", "decoder")
            for n in range(2)
        },
    ),
    "DoRA": (
        "t5",
        lambda: peft.LoraConfig(target_modules=["q"], use_dora=True),
        {"all sites": "use_dora is true, which peftsearch does not know"},
    ),
    "a start of the backbone": (
        "t5",
        lambda: peft.LoraConfig(target_modules=["q"], init_lora_weights="pissa"),
        {"all sites": "its start pissa changes the backbone itself"},
    ),
    "another method": (
        "t5",
        lambda: peft.LoHaConfig(target_modules=["q"]),
        {"all sites": "no such method, of PEFT's only LORA, IA3, LN_TUNING, BEFT"},
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_place_is_listed(name: str, tmp_path: Path) -> None:
    family, config, reasons = REFUSED[name]
    peft.get_peft_model(FACTORIES[family](), config()).save_pretrained(str(tmp_path))
    with pytest.raises(ExportError, match="cannot be expressed as an architecture") as caught:
        import_architecture(tmp_path, FACTORIES[family]())
    lines = caught.value.message.splitlines()[1:]
    for path, reason in reasons.items():
        assert any(line.startswith(f"  {path}: ") and reason in line for line in lines), lines
    assert {line.split(":")[0].strip() for line in lines} == set(reasons)


def _lora(folder: Path, family: str = "t5", **options: Any) -> Path:
    config = peft.LoraConfig(target_modules=["q"], **options)
    peft.get_peft_model(FACTORIES[family](), config).save_pretrained(str(folder))
    return folder


def test_tensors_that_do_not_belong(tmp_path: Path) -> None:
    """A missing, a strange and a misshapen tensor are each named."""
    path = _lora(tmp_path) / "adapter_model.safetensors"
    tensors = load_file(path)
    block = "base_model.model.encoder.block"
    del tensors[f"{block}.0.layer.0.SelfAttention.q.lora_A.weight"]
    tensors[f"{block}.0.layer.0.SelfAttention.k.lora_A.weight"] = torch.zeros(2, 32)
    tensors[f"{block}.1.layer.0.SelfAttention.q.lora_B.weight"] = torch.zeros(9, 8)
    save_file(tensors, path)
    with pytest.raises(ExportError) as caught:
        import_architecture(tmp_path, FACTORIES["t5"]())
    lines = caught.value.message.splitlines()[1:]
    assert len(lines) == 3
    assert "the file has no tensor" in lines[0]
    assert "has shape [9, 8] and this model needs [32, 8]" in lines[1]
    assert "SelfAttention.k: lora: the file holds" in lines[2]


def test_another_model_is_refused(tmp_path: Path) -> None:
    _lora(tmp_path)
    with pytest.raises(ExportError, match=r"has shape \[8, 32\] and this model needs \[8, 40\]"):
        import_architecture(tmp_path, FACTORIES["t5"](width=40))
    with pytest.raises(ConfigError, match="PEFT does not take"):
        import_architecture(tmp_path, FACTORIES["bert"]())
    (tmp_path / "adapter_model.safetensors").unlink()
    assert import_architecture(tmp_path, FACTORIES["t5"](width=40)).num_params == 6 * 8 * 80


def test_a_chain_in_another_order_is_another_function(tmp_path: Path) -> None:
    backbone = fresh("t5")
    site = "encoder.00.attention"
    choices = [choice(backbone, site, method, 1, "k") for method in ("lora", "ia3")]
    export(bundle_of(backbone, choices), "peft", tmp_path / "x")
    order = tmp_path / "x" / "load_order.json"
    order.write_text(json.dumps({"format": 1, "load_order": ["ia3", "lora"]}))
    with pytest.raises(ExportError, match=f"{site}: lora: it is loaded after ia3 on k"):
        import_architecture(tmp_path / "x", FACTORIES["t5"]())
    order.write_text(json.dumps({"format": 1, "load_order": ["lora", "ia3", "ia3"]}))
    with pytest.raises(ExportError, match="two adapters train it on k"):
        import_architecture(tmp_path / "x", FACTORIES["t5"]())


def test_half_precision_tensors(tmp_path: Path) -> None:
    path = _lora(tmp_path) / "adapter_model.safetensors"
    save_file({k: (t + 0.3).bfloat16() for k, t in load_file(path).items()}, path)
    model = import_model(tmp_path, FACTORIES["t5"]())
    for insertion in model.peftsearch_insertions:
        for _, parameter in insertion.tensors():
            assert parameter.dtype == torch.float32
            assert float(parameter.detach().abs().max()) > 0.1


def test_a_start_point_for_the_rest_of_the_package(tmp_path: Path) -> None:
    """What is imported is saved, loaded and exported like anything that was searched."""
    _saved("t5", ALL["suffixes"][1](), tmp_path / "theirs")
    model = import_model(tmp_path / "theirs", FACTORIES["t5"]())
    wanted = testing.logits(model, inputs(model))
    peftsearch.save(model, tmp_path / "ours")
    again = peftsearch.load(tmp_path / "ours", FACTORIES["t5"](), check=True)
    assert torch.equal(testing.logits(again, inputs(again)), wanted)
    model.peftsearch_architecture.save(tmp_path / "architecture.json")
    loaded = Architecture.load(tmp_path / "architecture.json")
    plain = copy.deepcopy(FACTORIES["t5"]())
    peftsearch.apply(plain, loaded)
    assert loaded.limit == loaded.num_params == 6 * 2 * 3 * 64
    assert wrap("x", FACTORIES["t5"]()).num_parameters == loaded.backbone_parameters


def test_files_that_are_broken(tmp_path: Path) -> None:
    weights = _lora(tmp_path / "a") / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(ConfigError, match=r"adapter_model\.safetensors cannot be read"):
        import_architecture(tmp_path / "a", FACTORIES["t5"]())


def test_text_that_is_no_adapter(tmp_path: Path) -> None:
    path = _lora(tmp_path / "a") / "adapter_config.json"
    for text, said in (("[]", "no adapter of PEFT"), ("{", "adapter_config")):
        path.write_text(text)
        with pytest.raises(ConfigError, match=said):
            import_architecture(tmp_path / "a", FACTORIES["t5"]())
    (tmp_path / "a" / "load_order.json").write_text('{"format": 1}')
    with pytest.raises(ConfigError, match="has no list of folders"):
        import_architecture(tmp_path / "a", FACTORIES["t5"]())


def test_a_head_brings_its_labels(tmp_path: Path) -> None:
    """By name, too: the head has as many rows as in the file, and its trained values."""
    model = load_backbone("micro-bert", 3).model
    config = peft.LoraConfig(target_modules=["query"], task_type="SEQ_CLS")
    wrapped = peft.get_peft_model(model, config)
    batch = {"input_ids": torch.tensor([[2, 7, 9, 3]])}
    wanted = testing.logits(wrapped, batch)
    wrapped.save_pretrained(str(tmp_path))
    found = testing.logits(import_model(tmp_path, "micro-bert"), batch)
    assert found.shape == (1, 3)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_neither_library(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    for path in (tmp_path, tmp_path / "config.json"):
        with pytest.raises(ConfigError, match="no adapter of PEFT or of the adapters library"):
            import_architecture(path, FACTORIES["t5"]())
    with pytest.raises(ConfigError, match="does not exist"):
        import_architecture(tmp_path / "nothing", FACTORIES["t5"]())
