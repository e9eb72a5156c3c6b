"""LoRA, IA3 and LayerNorm tuning against Hugging Face PEFT, with the same weights by hand."""

from __future__ import annotations

import copy
import re
from typing import Any

import peft
import pytest
import torch

from peftsearch import testing
from peftsearch.architecture import Choice
from peftsearch.backbones.base import module_paths, wrap
from peftsearch.injection import count, insert_architecture
from peftsearch.methods.lora import SCALE
from tests.models import FACTORIES, inputs

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Unsupported layer type:UserWarning"),
]

BACKBONES = ("t5", "t5_v1_1", "bart", "mbart", "bert", "roberta")


def _choices(backbone: Any, method: str) -> list[Choice]:
    """Return the method at every site, with another rank at each; attention gets all modules."""
    found = []
    for number, choice in enumerate(testing.choices_for(backbone, method)):
        host = testing.host_of(backbone, choice.site)
        size = 1 + number % 3 if method == "lora" else 1
        modules = choice.modules
        if method == "lora" and host.site.part.endswith("attention"):
            modules = ("q", "k", "v", "o")
        cost = count(host, method, modules, size)
        found.append(Choice(choice.site, method, size, modules, cost))
    return found


def _ours(backbone: Any, choices: list[Choice]) -> dict[str, Any]:
    """Insert with random weights; return the layers by the path of their host, and the sizes."""
    architecture = testing.architecture_of(backbone, choices)
    insertions = insert_architecture(backbone.hosts, architecture)
    testing.draw(insertions)
    layers = {}
    for insertion in insertions:
        for name, layer in insertion.layers.items():
            path = module_paths(backbone.model, [insertion.anchors[name]])[0]
            layers[path] = layer
    return layers


@torch.no_grad()
def _theirs(model: Any, method: str, layers: dict[str, Any]) -> Any:
    """Return the same with PEFT's own tuner, its tensors set one by one."""
    paths = list(layers)
    if method == "lora":
        ranks = {f"^{re.escape(path)}$": len(layer.A) for path, layer in layers.items()}
        alphas = {path: SCALE * rank for path, rank in ranks.items()}
        config: Any = peft.LoraConfig(
            r=8, lora_alpha=8, target_modules=paths, rank_pattern=ranks, alpha_pattern=alphas
        )
    elif method == "ia3":
        inner = [path for path, layer in layers.items() if layer.on_input]
        config = peft.IA3Config(target_modules=paths, feedforward_modules=inner)
    else:
        config = peft.LNTuningConfig(target_modules=paths)
    wrapped = peft.get_peft_model(model, config).eval()
    for path, layer in layers.items():
        module = wrapped.base_model.model.get_submodule(path)
        if method == "lora":
            assert module.lora_A.default.weight.shape == layer.A.shape
            module.lora_A.default.weight.copy_(layer.A)
            module.lora_B.default.weight.copy_(layer.B)
        elif method == "ia3":
            module.ia3_l["default"].copy_((1 + layer.delta).view_as(module.ia3_l["default"]))
        else:
            norm = module.ln_tuning_layers["default"]
            norm.weight += layer.weight
            if layer.bias is not None:
                norm.bias += layer.bias
    return wrapped


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("method", ["lora", "ia3", "layernorm"])
def test_outputs_equal_peft(method: str, backbone: str) -> None:
    model = FACTORIES[backbone]()
    plain = copy.deepcopy(model)
    batch = inputs(model)
    before = testing.logits(model, batch)
    wrapped = wrap("test", model)
    layers = _ours(wrapped, _choices(wrapped, method))
    ours = testing.logits(model, batch)
    assert float((ours - before).abs().max()) > 0.1
    theirs = _theirs(plain, method, layers)
    torch.testing.assert_close(testing.logits(theirs, batch), ours, rtol=2e-5, atol=2e-5)
    trained = sum(p.numel() for p in theirs.parameters() if p.requires_grad)
    counted = sum(p.numel() for layer in layers.values() for p in layer.parameters())
    assert trained == counted


def _with_gradients(backbone: str, method: str) -> list[tuple[Any, Any]]:
    """Return every inserted layer with the module of an untouched copy, both with gradients."""
    model = FACTORIES[backbone]()
    plain = copy.deepcopy(model)
    batch = inputs(model)
    wrapped = wrap("test", model)
    architecture = testing.architecture_of(wrapped, testing.choices_for(wrapped, method))
    insertions = insert_architecture(wrapped.hosts, architecture)
    for each in (model, plain):
        each(**batch).logits.square().sum().backward()
    return [
        (layer, plain.get_submodule(module_paths(model, [insertion.anchors[name]])[0]))
        for insertion in insertions
        for name, layer in insertion.layers.items()
    ]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_layernorm_gradients_equal_those_of_the_norm_itself(backbone: str) -> None:
    """The stored difference has the gradient of the norm's own weight and bias."""
    pairs = _with_gradients(backbone, "layernorm")
    assert pairs
    for layer, norm in pairs:
        torch.testing.assert_close(layer.weight.grad, norm.weight.grad, rtol=1e-4, atol=1e-4)
        if layer.bias is not None:
            torch.testing.assert_close(layer.bias.grad, norm.bias.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backbone", ["bart", "mbart", "bert", "roberta"])
def test_bitfit_gradients_equal_those_of_the_bias_itself(backbone: str) -> None:
    """Where the backbone has a bias, the shift is that bias."""
    pairs = _with_gradients(backbone, "bitfit")
    assert pairs
    for layer, module in pairs:
        torch.testing.assert_close(layer.delta.grad, module.bias.grad, rtol=1e-4, atol=1e-4)
