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


@pytest.fixture(params=["t5", "t5_v1_1", "bart", "bert"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    found = wrap(request.param, FACTORIES[request.param](attn_implementation="eager"))
    for _, parameter in head_parameters(found.model):
        parameter.requires_grad_(False)
    return found


def counted(backbone: Backbone, choices: list[Choice]) -> float:
    tokens = {"encoder": float(LENGTH), "decoder": float(WRITTEN)}
    tokens = {stack: tokens[stack] for stack in {site.stack for site in backbone.sites}}
    found = flops.resource(backbone, tokens, ROWS, math.inf, "")
    meter = flops.meter(cost_function(backbone.hosts), tokens, ROWS)
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
    return Choice(f"{stack}.{layer:02d}.attention", "bitfit", 1, ("q", "k", "v"))


def test_forward(backbone: Backbone) -> None:
    pooler = sum(p.numel() for n, p in backbone.model.named_parameters() if "pooler" in n)
    head = 2 * (backbone.num_head_parameters + pooler) * ROWS
    assert ran(backbone, []) == pytest.approx(counted(backbone, []), abs=head)


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
