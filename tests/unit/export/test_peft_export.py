"""What the PEFT exporters write, as a user with PEFT alone finds it."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file

from peftsearch import testing
from peftsearch.export.base import logits_of
from peftsearch.export.writing import export
from tests.unit.export.material import bundle_of, choice, fresh, random_choices

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Unsupported layer type:UserWarning"),
    pytest.mark.filterwarnings("ignore:Already found a:UserWarning"),
]


@pytest.mark.parametrize("method", ["layernorm", "lora", "ia3", "bitfit"])
def test_one_method_is_one_folder(method: str, tmp_path: Path) -> None:
    """Loaded on a backbone of one's own; PEFT trains what was trained, and the head."""
    backbone = fresh("bert")
    plain = copy.deepcopy(backbone.model)
    choices = [
        each
        for each in random_choices(backbone, [method], 0)
        if not (method == "bitfit" and each.site.endswith("norm"))
    ]
    bundle = bundle_of(backbone, choices)
    folder = tmp_path / "adapter"
    check = export(bundle, "peft", folder)
    assert json.loads((folder / "load_order.json").read_text())["load_order"] == ["."]
    loaded = peft.PeftModel.from_pretrained(plain, str(folder), is_trainable=True)
    found = logits_of(loaded, bundle.check_inputs)
    assert float((found - bundle.check_logits).abs().max()) <= check["tolerance"]
    trained = sum(p.numel() for p in loaded.parameters() if p.requires_grad)
    assert trained == bundle.architecture.num_params + sum(t.numel() for t in bundle.head.values())


def test_a_mixture_is_a_chain_in_the_order_of_composition(tmp_path: Path) -> None:
    """All four meet at one layer; the folders alone say what to load, and all stays trainable."""
    backbone = fresh("bart_classifier")
    plain = copy.deepcopy(backbone.model)
    site = "decoder.00.cross_attention"
    choices = [
        choice(backbone, site, "lora", 3, "k", "o"),
        choice(backbone, site, "ia3", 1, "k", "v"),
        choice(backbone, site, "bitfit", 1, "k", "q"),
        choice(backbone, "decoder.00.norm", "layernorm", 1, "cross_attention"),
        choice(backbone, "decoder.01.norm", "bitfit", 1, "attention"),
    ]
    bundle = bundle_of(backbone, choices)
    check = export(bundle, "peft", tmp_path / "x")
    names = json.loads((tmp_path / "x" / "load_order.json").read_text())["load_order"]
    assert names == ["layernorm", "lora", "ia3", "bias"]
    model = plain
    for name in names:
        adapted = peft.PeftModel.from_pretrained(
            model, str(tmp_path / "x" / name), is_trainable=True
        )
        model = adapted.get_base_model()
    found = logits_of(model, bundle.check_inputs)
    assert float((found - bundle.check_logits).abs().max()) <= check["tolerance"]
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained == sum(entry["trained"] for entry in check["entries"])
    norms = check["entries"][0]
    assert (norms["num_params"], norms["trained"]) == (96, 128)
    assert "weight and bias of a norm together" in norms["why"]
    assert all("why" not in entry for entry in check["entries"][1:])


def test_sites_still_work_after_an_export(tmp_path: Path) -> None:
    """Hosts are the modules of the model, not what PEFT left behind."""
    backbone = fresh("bert")
    bundle = bundle_of(backbone, random_choices(backbone, ["lora", "ia3", "layernorm"], 0))
    export(bundle, "peft", tmp_path / "x")
    there = {id(module) for module in backbone.model.modules()}
    assert all(id(module) in there for host in backbone.hosts for module in host.modules.values())
    assert not hasattr(backbone.model, "peft_config")


def test_the_config_names_full_paths(tmp_path: Path) -> None:
    """Suffixes would hit both stacks of a T5, and its cross-attention."""
    backbone = fresh("t5")
    choices = [
        choice(backbone, "decoder.01.cross_attention", "lora", 5, "q", "v"),
        choice(backbone, "decoder.01.attention", "lora", 2, "q"),
    ]
    bundle = bundle_of(backbone, choices)
    export(bundle, "peft", tmp_path / "x")
    config = json.loads((tmp_path / "x" / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA"
    assert config["task_type"] == "SEQ_2_SEQ_LM"
    path = "decoder.block.1.layer."
    cross = [f"{path}1.EncDecAttention.q", f"{path}1.EncDecAttention.v"]
    assert sorted(config["target_modules"]) == [f"{path}0.SelfAttention.q", *cross]
    assert (config["r"], config["lora_alpha"]) == (2, 4)
    assert config["rank_pattern"] == {
        "^decoder\\.block\\.1\\.layer\\.1\\.EncDecAttention\\.q": 5,
        "^decoder\\.block\\.1\\.layer\\.1\\.EncDecAttention\\.v": 5,
    }
    assert set(config["alpha_pattern"].values()) == {10}


def test_more_modules_than_peft_lists(tmp_path: Path) -> None:
    """From 20 modules on PEFT shortens a list of targets to suffixes; a file must not be."""
    backbone = fresh("bart")
    choices = testing.choices_for(backbone, "lora", 2)
    export(bundle_of(backbone, choices), "peft", tmp_path / "x")
    config = json.loads((tmp_path / "x" / "adapter_config.json").read_text())
    assert len(config["target_modules"]) == sum(len(each.modules) for each in choices) > 19


def test_the_file_for_servers_has_one_rank_and_no_patterns(tmp_path: Path) -> None:
    backbone = fresh("t5")
    choices = [
        choice(backbone, "encoder.00.attention", "lora", 1, "q"),
        choice(backbone, "encoder.01.feed_forward", "lora", 4, "up"),
    ]
    bundle = bundle_of(backbone, choices)
    check = export(bundle, "peft-serving", tmp_path / "x")
    assert set(check["differences"]) == {
        "PeftModel.from_pretrained",
        "alpha / r",
        "alpha / rank of the tensor",
    }
    config = json.loads((tmp_path / "x" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (4, 4)
    assert config["rank_pattern"] == config["alpha_pattern"] == {}
    tensors = load_file(tmp_path / "x" / "adapter_model.safetensors")
    assert {(4, 32), (32, 4), (40, 4)} == {tuple(tensor.shape) for tensor in tensors.values()}
    (entry,) = check["entries"]
    assert entry["trained"] == 4 * (32 + 32 + 32 + 40)
    assert entry["why"] == "ranks are padded to 4"
    # The plain file, read by the rule of a server that ignores patterns, would be wrong.
    export(bundle, "peft", tmp_path / "plain")
    first = "base_model.model.encoder.block.0.layer.0.SelfAttention.q"
    plain = load_file(tmp_path / "plain" / "adapter_model.safetensors")
    update = plain[f"{first}.lora_B.weight"] @ plain[f"{first}.lora_A.weight"]
    padded = tensors[f"{first}.lora_B.weight"] @ tensors[f"{first}.lora_A.weight"]
    torch.testing.assert_close(padded, 2 * update)
