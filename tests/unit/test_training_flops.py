"""The counted FLOPs of a training against torch's own counter of what really ran."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from peftsearch.architecture import Choice
from peftsearch.backbones.base import Backbone, head_parameters, wrap
from peftsearch.injection import cost_function, insert_choice, remove_all
from peftsearch.metering import flops
from tests.models import FACTORIES

ROWS, LENGTH, WRITTEN = 2, 6, 4


def ran(backbone: Backbone, choices: list[Choice]) -> float:
    """Return the FLOPs of the forward and backward pass of a batch, as torch counts them."""
    hosts = {host.site.id: host for host in backbone.hosts}
    insertions = [insert_choice(hosts[choice.site], choice) for choice in choices]
    batch: dict[str, Any] = {"input_ids": torch.full((ROWS, LENGTH), 5)}
    if backbone.model.config.is_encoder_decoder:
        batch["decoder_input_ids"] = torch.full((ROWS, WRITTEN), 5)
    try:
        with FlopCounterMode(display=False) as counter:
            logits = backbone.model(**batch).logits
            if logits.requires_grad:
                logits.sum().backward()
        return float(counter.get_total_flops())
    finally:
        remove_all(insertions)


PARAMS = ["t5", "t5_v1_1", "bart", "bert", "albert", "modernbert", "gpt2", "phi3", "llama"]


@pytest.fixture(params=PARAMS)
def backbone(request: pytest.FixtureRequest) -> Backbone:
    found = wrap(request.param, FACTORIES[request.param](attn_implementation="eager"))
    for _, parameter in head_parameters(found.model):
        parameter.requires_grad_(False)
    return found


def counted(backbone: Backbone, choices: list[Choice]) -> float:
    tokens = {site.stack: float(LENGTH) for site in backbone.sites}
    if backbone.model.config.is_encoder_decoder:
        tokens["decoder"] = float(WRITTEN)
    found = flops.resource(backbone, tokens, ROWS, math.inf, "")
    meter = flops.meter(backbone, cost_function(backbone.hosts), tokens, ROWS)
    sites = {site.id: site for site in backbone.sites}
    items = [
        (
            (sites[c.site].stack, sites[c.site].layer),
            meter(sites[c.site], c.method, c.modules, c.size),
        )
        for c in choices
    ]
    head = 2.0 * 3 * backbone.num_head_parameters * ROWS  # which these tests leave frozen
    return found.used(items) - head


def bias(backbone: Backbone, stack: str, layer: int) -> Choice:
    """Return what costs no FLOPs itself, on the first map of a layer that all else depends on."""
    name = f"{stack}.{layer:02d}.attention"
    (site,) = (site for site in backbone.sites if site.id == name)
    return Choice(name, "bitfit", 1, site.resolve(("q", "k", "v")))


def left_out(backbone: Backbone) -> float:
    """Return the FLOPs of maps that are no part of a layer: head, pooler, widths of embeddings."""
    sites = {id(m) for host in backbone.hosts for m in host.modules.values()}
    output = backbone.model.get_output_embeddings()
    linear = {
        name: module.weight.numel()
        for name, module in backbone.model.named_modules()
        if isinstance(module, torch.nn.Linear) and id(module) not in sites and module is not output
    }
    return (
        2.0 * ROWS * sum(n * (LENGTH if "embedding" in name else 1) for name, n in linear.items())
    )


def test_forward(backbone: Backbone) -> None:
    real = ran(backbone, [])
    assert real == pytest.approx(counted(backbone, []), abs=left_out(backbone))
    assert left_out(backbone) < 0.05 * real


def test_a_layer_more_costs_what_it_is_counted(backbone: Backbone) -> None:
    """From one lowest layer to the next, in the same stack, exactly; over to the encoder too."""
    sites = backbone.sites
    layers = list(dict.fromkeys((site.stack, site.layer) for site in sites))
    own = counted(backbone, [bias(backbone, *layers[0])])
    real = [ran(backbone, [bias(backbone, *layer)]) for layer in layers]
    found = [counted(backbone, [bias(backbone, *layer)]) for layer in layers]
    assert own > 0
    for i in range(len(layers) - 1):
        if layers[i][0] == layers[i + 1][0]:
            small = 6 * 3 * 64 * LENGTH * ROWS
            assert found[i] - found[i + 1] == pytest.approx(real[i] - real[i + 1], abs=small)
    for mine, theirs in zip(found, real, strict=True):  # the lowest layer counts in full
        assert theirs <= mine


def test_the_bound_is_tight(backbone: Backbone) -> None:
    """What is counted beyond what runs is less than the backward pass of one layer."""
    everywhere = flops.lora_everywhere(backbone.sites)
    assert ran(backbone, everywhere) <= counted(backbone, everywhere)
    stacks = list(dict.fromkeys(site.stack for site in backbone.sites))
    for stack in stacks:
        first = counted(backbone, [bias(backbone, stack, 0)])
        second = counted(backbone, [bias(backbone, stack, 1)])
        over = first - ran(backbone, [bias(backbone, stack, 0)])
        assert over < first - second
