"""What the PEFT exporter writes, PEFT itself loads; what it cannot hold is refused by name."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import peft
import pytest
import torch

from peftsearch import testing
from peftsearch.architecture import Choice
from peftsearch.backbones.base import head_parameters, wrap
from peftsearch.catalogue import method_facts
from peftsearch.export import peft as exporter
from peftsearch.export.base import Bundle, logits_of
from peftsearch.export.writing import export, problems
from peftsearch.injection import apply, count, insertions_of, state, unapply
from peftsearch.testing import choices_for
from tests.models import FACTORIES, inputs

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Unsupported layer type:UserWarning"),
]


def _choices(backbone: Any, method: str, every: int = 1) -> list[Choice]:
    """Return the method at every n-th site that takes it, with ranks that differ by site."""
    found = []
    for number, choice in enumerate(choices_for(backbone, method)[::every]):
        host = testing.host_of(backbone, choice.site)
        size = 1 + number % 4 if method_facts()[method].sized else 1
        cost = count(host, method, choice.modules, size)
        found.append(Choice(choice.site, method, size, choice.modules, cost))
    return found


def _bundle(backbone: Any, choices: list[Choice]) -> Bundle:
    """Train-like weights for the layers and the head, their logits, and a clean backbone."""
    model, batch = backbone.model, inputs(backbone.model)
    architecture = testing.architecture_of(backbone, choices)
    head = {name: p.detach().clone() for name, p in head_parameters(model)}
    apply(model, architecture)
    testing.draw(insertions_of(model))
    with torch.no_grad():
        for _, parameter in head_parameters(model):
            parameter.add_(torch.randn(parameter.shape) * 0.3)
    weights = state(insertions_of(model))
    trained = {name: p.detach().clone() for name, p in head_parameters(model)}
    logits = logits_of(model, batch)
    unapply(model)
    with torch.no_grad():  # the export must bring the head along
        for name, parameter in head_parameters(model):
            parameter.copy_(head[name])
    return Bundle(architecture, weights, trained, backbone, batch, logits)


@pytest.mark.parametrize(
    "backbone", ["t5", "t5_v1_1", "bart", "mbart", "bart_classifier", "bert", "roberta"]
)
@pytest.mark.parametrize("method", exporter.HELD)
@pytest.mark.parametrize("every", [1, 3])
def test_round_trip(method: str, backbone: str, every: int, tmp_path: Path) -> None:
    wrapped = wrap("test", FACTORIES[backbone]())
    plain = copy.deepcopy(wrapped.model)
    bundle = _bundle(wrapped, _choices(wrapped, method, every))
    assert problems("peft", bundle.architecture, wrapped) == []
    names = [(n, p.requires_grad) for n, p in wrapped.model.named_parameters()]
    attributes = set(vars(wrapped.model))
    tmp_path = tmp_path / "adapter"
    check = export(bundle, "peft", tmp_path)
    assert check["verified"], check
    auto = "AutoModelForSequenceClassification" if bundle.head else "AutoModelForSeq2SeqLM"
    assert f"from transformers import {auto}" in exporter.snippet(bundle, tmp_path)
    assert check["num_params"] == bundle.architecture.num_params
    assert [(n, p.requires_grad) for n, p in wrapped.model.named_parameters()] == names
    assert set(vars(wrapped.model)) == attributes
    batch = bundle.check_inputs
    assert torch.equal(logits_of(wrapped.model, batch), logits_of(plain, batch))
    # As a user would: a backbone of one's own, nothing of this package.
    loaded = peft.PeftModel.from_pretrained(plain, str(tmp_path), is_trainable=True)
    found = logits_of(loaded, batch)
    assert float((found - bundle.check_logits).abs().max()) <= check["tolerance"]
    trained = sum(p.numel() for p in loaded.parameters() if p.requires_grad)
    head = sum(t.numel() for t in bundle.head.values())
    assert trained == bundle.architecture.num_params + head


def test_sites_still_work_after_an_export(tmp_path: Path) -> None:
    """Hosts are the modules of the model, not what PEFT left behind."""
    for method in exporter.HELD:
        backbone = wrap("test", FACTORIES["bert"]())
        bundle = _bundle(backbone, _choices(backbone, method))
        export(bundle, "peft", tmp_path / method)
        there = {id(module) for module in backbone.model.modules()}
        for host in backbone.hosts:
            assert all(id(module) in there for module in host.modules.values()), method


def test_the_config_names_full_paths(tmp_path: Path) -> None:
    """Suffixes would hit both stacks of a T5."""
    backbone = wrap("test", FACTORIES["t5"]())
    choices = _choices(backbone, "lora")[2:3]
    exporter.write(_bundle(backbone, choices), tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA"
    assert config["task_type"] == "SEQ_2_SEQ_LM"
    assert sorted(config["target_modules"]) == [
        "encoder.block.1.layer.0.SelfAttention.q",
        "encoder.block.1.layer.0.SelfAttention.v",
    ]


@pytest.mark.parametrize("method", sorted(set(method_facts()) - {*exporter.HELD, "none"}))
def test_methods_that_peft_does_not_hold_are_named(method: str) -> None:
    backbone = wrap("test", FACTORIES["t5"]())
    choices = [*_choices(backbone, method, 2), Choice("encoder.00.norm")]
    found = problems("peft", testing.architecture_of(backbone, choices), backbone)
    assert [p.site for p in found] == [c.site for c in choices[:-1]]
    assert all(p.method == method and len(p.reason) > 20 for p in found)


def test_mixtures_are_refused_at_every_site() -> None:
    backbone = wrap("test", FACTORIES["t5"]())
    lora, norms = _choices(backbone, "lora"), _choices(backbone, "layernorm")
    found = problems("peft", testing.architecture_of(backbone, [*lora, *norms]), backbone)
    assert len(found) == len(lora) + len(norms)
    assert all(re.search("mixes several", p.reason) for p in found)


def test_an_empty_architecture_is_refused() -> None:
    backbone = wrap("test", FACTORIES["t5"]())
    empty = testing.architecture_of(backbone, [Choice("encoder.00.norm")])
    (problem,) = problems("peft", empty, backbone)
    assert "nothing was chosen" in problem.reason
