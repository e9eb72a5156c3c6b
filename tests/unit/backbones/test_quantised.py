"""Backbones in 8 and 4 bits: real bitsandbytes, on the CPU, where it is installed.

No CUDA device is needed: bitsandbytes has kernels for the CPU, with the same modules and tensors.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from peftsearch import testing
from peftsearch.backbones.base import Backbone, wrap
from peftsearch.backbones.loading import load_model, sketch_backbone
from peftsearch.backbones.quantised import quantisable
from peftsearch.catalogue import method_facts
from peftsearch.injection import cost_function, insert_choice, remove_all
from peftsearch.memory.frozen import frozen_bytes
from peftsearch.memory.kept import counting
from peftsearch.memory.sketch import Shape, sample_loss
from peftsearch.methods.linear_map import Quantised, linear_map
from tests.models import FACTORIES

pytest.importorskip("bitsandbytes", reason="bitsandbytes is an extra: peftsearch[quantise]")

SHAPE = Shape(rows=3, tokens=8, targets=4)
METHODS = [name for name in method_facts() if name != "none"]
OUTPUTS = {"bert": 3, "llama": 0, "t5": 0, "gpt2": 0}
BITS = ("4bit", "8bit")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    for name in OUTPUTS:
        FACTORIES[name](64).save_pretrained(root / name)
    return {name: root / name for name in OUTPUTS}


@pytest.fixture(autouse=True)
def _casts() -> Iterator[None]:
    """8 bits multiply in float16, and bitsandbytes says so."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "MatMul8bitLt: inputs will be cast", UserWarning)
        yield


def quantised(folders: dict[str, Path], name: str, bits: str) -> Backbone:
    return wrap(name, load_model(str(folders[name]), OUTPUTS[name], load_in=bits))


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("name", OUTPUTS)
def test_counts_are_those_of_the_plan(name: str, bits: str, folders: dict[str, Path]) -> None:
    """Parameters, what each candidate costs, and bytes: of a config alone as of loaded weights."""
    loaded = quantised(folders, name, bits)
    planned = sketch_backbone(str(folders[name]), OUTPUTS[name])
    plain = wrap(name, load_model(str(folders[name]), OUTPUTS[name]))
    assert loaded.num_parameters == planned.num_parameters == plain.num_parameters
    cost, wanted = cost_function(loaded.hosts), cost_function(plain.hosts)
    facts = method_facts()
    for site in loaded.sites:
        for method in METHODS:
            modules = facts[method].modules_at(site)
            if modules and method not in site.refused:
                assert cost(site, method, modules, 4) == wanted(site, method, modules, 4)
    held = sum(p.numel() * p.element_size() for p in _frozen(loaded))
    for linear in _maps(loaded):
        state: Any = linear.weight
        scales = state.quant_state.absmax if bits == "4bit" else state.SCB
        held += scales.numel() * scales.element_size()
    assert frozen_bytes(planned.model, "fp32", bits) == held


def _maps(backbone: Backbone) -> list[nn.Module]:
    return [m for m in backbone.model.modules() if isinstance(linear_map(m), Quantised)]


def _frozen(backbone: Backbone) -> list[nn.Parameter]:
    return [p for p in backbone.model.parameters() if not p.requires_grad]


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("name", OUTPUTS)
def test_the_maps_of_the_layers_are_quantised_and_the_ends_are_not(
    name: str, bits: str, folders: dict[str, Path]
) -> None:
    loaded = quantised(folders, name, bits)
    planned = sketch_backbone(str(folders[name]), OUTPUTS[name]).model
    heads = ("classifier.",) if name == "bert" else ()
    names = {path for path, _ in quantisable(planned, heads)}
    found = {p for p, m in loaded.model.named_modules() if isinstance(linear_map(m), Quantised)}
    assert found == names
    assert len(found) >= 8
    output = loaded.model.get_output_embeddings()
    assert output is None or output.weight.is_floating_point()
    assert all(p.dtype == torch.float32 for p in loaded.model.parameters() if p.requires_grad)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_beside_quantised_maps(
    method: str, bits: str, folders: dict[str, Path]
) -> None:
    """The same as on the model whose weights are what the bytes stand for."""
    loaded = quantised(folders, "llama", bits)
    plain = wrap("llama", load_model(str(folders["llama"]), 0))
    with torch.no_grad():
        for one, other in zip(_maps(loaded), _linear(plain, loaded), strict=True):
            found = linear_map(one)
            assert found is not None
            other.weight.copy_(found.weight.reshape(other.weight.shape))
    losses, grads = [], []
    for backbone in (loaded, plain):
        torch.manual_seed(3)
        hosts = {host.site.id: host for host in backbone.hosts}
        choices = testing.choices_for(backbone, method)
        insertions = [insert_choice(hosts[choice.site], choice) for choice in choices]
        tensors = [p for insertion in insertions for _, p in insertion.tensors()]
        with torch.no_grad():
            for parameter in tensors:
                parameter.add_(0.05 * torch.randn_like(parameter))
        loss = sample_loss(backbone.model.train(), SHAPE)
        grads.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, tensors)]))
        losses.append(float(loss.detach()))
        remove_all(insertions)
    # 8 bits round the inputs, too.
    near = 1e-4 if bits == "4bit" else 0.05
    assert losses[0] == pytest.approx(losses[1], rel=near)
    cosine = nn.functional.cosine_similarity(grads[0], grads[1], dim=0)
    assert float(cosine) > (0.9999 if bits == "4bit" else 0.98)


def _linear(plain: Backbone, loaded: Backbone) -> list[Any]:
    names = [n for n, m in loaded.model.named_modules() if isinstance(linear_map(m), Quantised)]
    return [plain.model.get_submodule(name) for name in names]


@pytest.mark.parametrize("bits", BITS)
def test_activations_are_those_of_the_plan(bits: str, folders: dict[str, Path]) -> None:
    from peftsearch.memory.sketch import Sketch

    loaded = quantised(folders, "llama", bits)
    hosts = {host.site.id: host for host in loaded.hosts}
    choices = testing.choices_for(loaded, "lora")
    for choice in choices:
        insert_choice(hosts[choice.site], choice)
    with counting(loaded.model) as kept:
        sample_loss(loaded.model.train(), SHAPE)
    sketch = Sketch(
        lambda: sketch_backbone(str(folders["llama"]), 0, device="cpu"), half=False,
        accelerator=False,
    )  # fmt: skip
    assert sketch.trained(choices, SHAPE).total == pytest.approx(kept.total, rel=0.15)
