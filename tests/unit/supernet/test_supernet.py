"""The supernet under a hard pattern is the stand-alone architecture."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch

from peftsearch import baselines, testing
from peftsearch.backbones.base import Backbone, is_inserted
from peftsearch.discretise import cost_of, solve
from peftsearch.injection import insert_architecture, remove_all
from peftsearch.space import SearchSpace
from peftsearch.supernet.gates import one_hot, sample
from peftsearch.supernet.supernet import Supernet
from tests.models import inputs
from tests.unit.supernet.spaces import space_on

PAIRS = [(family, combine) for family in ("t5_v1_1", "bart", "bert") for combine in ("one", "many")]


def _random(space: SearchSpace, seed: int) -> list[int]:
    rng = random.Random(seed)
    return [rng.randrange(len(gate.candidates)) for gate in space.gates]


def _trained(backbone: Backbone, space: SearchSpace) -> Supernet:
    supernet = Supernet(backbone, space)
    testing.draw([bank.insertion for bank in supernet.banks])
    return supernet


def _alone(supernet: Supernet, pattern: list[int], batch: Any) -> torch.Tensor:
    """Take the supernet off, insert the architecture with its slices, and run it.

    The supernet is gone afterwards, its weights are not.
    """
    supernet.remove()
    backbone = supernet.backbone
    choices = [c for c in baselines.to_choices(supernet.space, pattern) if c.num_params]
    insertions = insert_architecture(backbone.hosts, testing.architecture_of(backbone, choices))
    for insertion in insertions:
        c = insertion.choice
        bank = next(
            bank.insertion
            for bank in supernet.banks
            if (bank.insertion.choice.site, bank.method) == (c.site, c.method)
            and bank.insertion.choice.modules == c.modules
        )
        testing.copy_slices(bank, insertion)
    found = testing.logits(backbone.model, batch)
    remove_all(insertions)
    return found


@pytest.mark.parametrize(("family", "combine"), PAIRS)
def test_a_hard_pattern_is_the_architecture(family: str, combine: str) -> None:
    backbone, space = space_on(family, combine)
    batch = inputs(backbone.model)
    width = max(len(gate.candidates) for gate in space.gates)
    plain = testing.logits(backbone.model, batch)
    for seed in range(4):
        supernet = _trained(backbone, space)
        pattern = _random(space, seed)
        found = []
        for probed in (0.0, 0.25, 1.0):
            supernet.set(one_hot(pattern, width), 3, probed=probed)
            found.append(testing.logits(backbone.model, batch))
        wanted = _alone(supernet, pattern, batch)
        assert float((wanted - plain).abs().max()) > 1e-2
        for logits in found:
            torch.testing.assert_close(logits, wanted, rtol=5e-5, atol=5e-5)


@pytest.mark.parametrize("family", ["t5_v1_1", "bart", "bert"])
def test_rows_of_one_batch_run_different_architectures(family: str) -> None:
    backbone, space = space_on(family)
    batch = inputs(backbone.model, rows=7)
    supernet = _trained(backbone, space)
    width = max(len(gate.candidates) for gate in space.gates)
    patterns = [_random(space, seed) for seed in range(3)]
    choices = torch.cat([one_hot(pattern, width) for pattern in patterns])
    supernet.set(choices, 7)
    together = testing.logits(backbone.model, batch)
    blocks = [i * 3 // 7 for i in range(7)]
    assert sorted(set(blocks)) == [0, 1, 2]
    for number, pattern in enumerate(patterns):
        supernet.set(one_hot(pattern, width), 7)
        alone = testing.logits(backbone.model, batch)
        rows = [i for i, block in enumerate(blocks) if block == number]
        others = [i for i, block in enumerate(blocks) if block != number]
        torch.testing.assert_close(together[rows], alone[rows], rtol=5e-5, atol=5e-5)
        assert float((together[others] - alone[others]).abs().max()) > 1e-2


def test_an_example_of_several_rows_runs_one_architecture() -> None:
    """As the choices and the windows of a row do."""
    backbone, space = space_on("bert")
    batch = inputs(backbone.model, rows=7)
    supernet = _trained(backbone, space)
    width = max(len(gate.candidates) for gate in space.gates)
    patterns = [_random(space, seed) for seed in range(3)]
    owners = torch.tensor([0, 0, 0, 0, 1, 2, 2])
    choices = torch.cat([one_hot(pattern, width) for pattern in patterns])
    supernet.set(choices, 3, owners=owners)
    together = testing.logits(backbone.model, batch)
    for number, pattern in enumerate(patterns):
        supernet.set(one_hot(pattern, width), 3)
        alone = testing.logits(backbone.model, batch)
        own = owners == number
        torch.testing.assert_close(together[own], alone[own], rtol=5e-5, atol=5e-5)
        assert float((together[~own] - alone[~own]).abs().max()) > 1e-2


@pytest.mark.parametrize("family", ["t5_v1_1", "bart", "bert"])
def test_the_empty_pattern_is_the_backbone(family: str) -> None:
    backbone, space = space_on(family)
    batch = inputs(backbone.model)
    plain = testing.logits(backbone.model, batch)
    supernet = _trained(backbone, space)
    width = max(len(gate.candidates) for gate in space.gates)
    supernet.set(one_hot([0] * len(space.gates), width), 3)
    assert torch.equal(testing.logits(backbone.model, batch), plain)
    supernet.set(one_hot([0] * len(space.gates), width), 3, probed=1.0)
    torch.testing.assert_close(testing.logits(backbone.model, batch), plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("family", "combine"), PAIRS)
def test_weights_and_alphas_are_disjoint_and_complete(family: str, combine: str) -> None:
    backbone, space = space_on(family, combine)
    supernet = Supernet(backbone, space)
    groups = supernet.weight_parameters()
    weights = {id(p) for group in groups.values() for p in group}
    alphas = {id(p) for p in supernet.arch_parameters()}
    assert sum(map(len, groups.values())) == len(weights)
    assert not weights & alphas
    assert {id(p) for p in supernet.named_weights().values()} == weights
    for name, parameter in backbone.model.named_parameters():
        if parameter.requires_grad and not name.startswith("classifier"):
            assert id(parameter) in weights, name
        assert id(parameter) not in alphas
        assert is_inserted(name) == (id(parameter) in weights)
    methods = {c.method for _, c in space.choices()} - {"none"}
    assert set(groups) == methods


@pytest.mark.parametrize("family", ["t5_v1_1", "bart", "bert"])
def test_gradients_reach_every_gate_and_every_weight(family: str) -> None:
    """With everything run, also options that were not sampled tell what they would have done."""
    backbone, space = space_on(family)
    supernet = _trained(backbone, space)
    log_q, _ = supernet.gates.priced(supernet.gates.log_prior(), 500.0)
    torch.manual_seed(0)
    supernet.set(sample(log_q, 1, 5.0), 3, probed=1.0)
    backbone.model.train()
    loss = backbone.model(**inputs(backbone.model)).logits.square().mean()
    (gradient,) = torch.autograd.grad(loss, supernet.arch_parameters())
    assert bool(gradient.isfinite().all())
    assert bool((gradient[supernet.gates.present] != 0).all())
    assert bool((gradient[~supernet.gates.present] == 0).all())


@pytest.mark.parametrize(("family", "combine"), PAIRS)
def test_removal_leaves_the_backbone_as_it_was(family: str, combine: str) -> None:
    backbone, space = space_on(family, combine)
    batch = inputs(backbone.model)
    names = [name for name, _ in backbone.model.named_parameters()]
    plain = testing.logits(backbone.model, batch)
    supernet = _trained(backbone, space)
    supernet.set(one_hot(_random(space, 1), supernet.gates.alphas.shape[1]), 3)
    assert not torch.equal(testing.logits(backbone.model, batch), plain)
    supernet.remove()
    assert [name for name, _ in backbone.model.named_parameters()] == names
    assert torch.equal(testing.logits(backbone.model, batch), plain)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in backbone.model.modules())


@pytest.mark.parametrize("combine", ["one", "many"])
def test_no_architecture_is_ever_over_budget(combine: str) -> None:
    backbone, full = space_on("t5_v1_1", combine)
    rng = random.Random(0)
    for number in range(100):
        limit = rng.randrange(full.min_cost, full.max_cost // 2)
        space = full.within(limit)
        values = [[rng.gauss(0, 3) for _ in gate.candidates] for gate in space.gates]
        picked = solve(space, values, limit)
        assert cost_of(space, picked) <= limit
        if number % 25 == 0:
            choices = [c for c in baselines.to_choices(space, picked) if c.num_params]
            architecture = testing.architecture_of(backbone, choices)
            insertions = insert_architecture(backbone.hosts, architecture)
            trained = sum(p.numel() for p in backbone.model.parameters() if p.requires_grad)
            assert trained == cost_of(space, picked) <= limit
            remove_all(insertions)


@pytest.mark.parametrize("family", ["t5_v1_1", "bart", "bert"])
def test_probing_gives_the_gradient_of_executing_everything_in_expectation(family: str) -> None:
    """What is probed gets its whole gradient times one over its chance of being probed."""
    backbone, space = space_on(family)
    supernet = _trained(backbone, space)
    backbone.model.eval()
    batch = inputs(backbone.model)
    width = max(len(gate.candidates) for gate in space.gates)

    def gradient(probed: float) -> torch.Tensor:
        choices = one_hot(_random(space, 0), width).requires_grad_()
        supernet.set(choices, 3, probed=probed)
        loss = backbone.model(**batch).logits.square().mean()
        return torch.autograd.grad(loss, choices)[0]

    whole = gradient(1.0)
    on = [bool(bank.chosen(one_hot(_random(space, 0), width)).any()) for bank in supernet.banks]
    off = on.count(False)
    probes = math.ceil(0.3 * off)
    for seed in range(5):
        torch.manual_seed(seed)
        sampled = gradient(0.3)
        hit = 0
        for bank, active in zip(supernet.banks, on, strict=True):
            got, want = bank.chosen(sampled), bank.chosen(whole)
            if active:
                torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-7)
            elif bool(got.any()):
                hit += 1
                torch.testing.assert_close(got, want * off / probes, rtol=1e-4, atol=1e-7)
        assert hit == probes


def test_masks_lie_where_the_layers_lie() -> None:
    """Also those of layers without parameters, as the tap of the parallel adapter."""
    backbone, space = space_on("bert")
    backbone.model.to("meta")
    supernet = Supernet(backbone, space)
    width = max(len(gate.candidates) for gate in space.gates)
    supernet.set(one_hot(_random(space, 0), width), 3, probed=1.0)
    masks = [layer.mask for bank in supernet.banks for layer in bank.insertion.layers.values()]
    assert len(masks) > len(supernet.banks)
    assert {mask.device.type for mask in masks if mask is not None} == {"meta"}
