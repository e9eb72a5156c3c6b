"""Tokens of images, and the FLOPs of layers that see them, against torch's own counter."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from peftsearch.architecture import Choice
from peftsearch.backbones.base import Backbone, head_parameters, wrap
from peftsearch.errors import ConfigError
from peftsearch.formats import Feature
from peftsearch.injection import cost_function, insert_choice, remove_all
from peftsearch.metering import flops
from peftsearch.metering.making import make_limits
from peftsearch.tasks.media import Media
from tests.models import FACTORIES, inputs

ROWS, LENGTH = 3, 7


def features(family: str) -> list[Feature]:
    """Return rows as the formats make them: images by themselves, or with a text."""
    texts = {"input_ids": [1] * LENGTH} if family in ("clip", "siglip") else {}
    return [Feature({"pixel_values": Media("1"), **texts}, 0, 0.0)] * ROWS


@pytest.mark.parametrize(
    ("family", "tokens"),
    [
        ("vit", {"encoder": 5}),  # four patches and one more
        ("deit", {"encoder": 6}),
        ("clip", {"vision": 5, "text": LENGTH}),
        ("siglip", {"vision": 4, "text": LENGTH}),
    ],
)
def test_layers_are_counted_as_they_run(family: str, tokens: dict[str, float]) -> None:
    model = FACTORIES[family]()
    model.set_attn_implementation("eager")
    backbone = wrap("test", model)
    found = flops.mean_tokens(features(family), backbone)
    assert found == tokens == flops.longest(backbone, LENGTH)
    counted = flops.resource(backbone, tokens, ROWS, math.inf, "").fixed
    counted -= 3 * 2 * backbone.num_head_parameters * ROWS
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(**inputs(model))
    by_module = counter.get_flop_counts()
    layers = [name for name in by_module if re.search(r"\.layers\.\d+$", name)]
    assert len(layers) == len({(site.stack, site.layer) for site in backbone.sites})
    assert sum(sum(by_module[name].values()) for name in layers) == counted


#: Windows that fit; that fill up 7 x 7 patches, and 4 x 4 behind them; that fill up 7 x 5 patches,
#: which fill up the image, and 4 x 3 behind them.
WINDOWS = [{}, {"image_size": 14, "window_size": 3}, {"image_size": (14, 9)}]


@pytest.fixture(params=WINDOWS, ids=str)
def windows(request: pytest.FixtureRequest) -> Backbone:
    """Return a Swin with a head that is frozen, for it is not what is counted here."""
    model = FACTORIES["swin"](attn_implementation="eager", **request.param)
    for _, parameter in head_parameters(model):
        parameter.requires_grad_(False)
    return wrap("test", model)


def ran(backbone: Backbone, choices: Sequence[Choice]) -> Counter[str]:
    """Return the FLOPs of a batch by part of the model, as torch counts them."""
    model: Any = backbone.model
    size = model.config.image_size
    sides = (size, size) if isinstance(size, int) else size
    hosts = {host.site.id: host for host in backbone.hosts}
    insertions = [insert_choice(hosts[choice.site], choice) for choice in choices]
    with FlopCounterMode(display=False) as counter:
        logits = model(torch.randn(ROWS, 3, *sides)).logits
        if logits.requires_grad:
            logits.sum().backward()
    remove_all(insertions)
    counts = counter.get_flop_counts()
    return Counter({name: sum(each.values()) for name, each in counts.items()})


def counted(backbone: Backbone, lowest: int | None = None) -> float:
    """Return what is counted where something that costs nothing itself stands in a layer."""
    tokens = flops.mean_tokens(features("swin"), backbone)
    assert tokens is not None
    found = flops.resource(backbone, tokens, ROWS, math.inf, "")
    items = [] if lowest is None else [(("encoder", lowest), 0.0)]
    return found.used(items) - 3 * 2 * backbone.num_head_parameters * ROWS


def test_windows_and_merged_patches(windows: Backbone) -> None:
    found = ran(windows, [])
    stages = [name for name in found if re.search(r"\.layers\.\d+$", name)]
    assert len(stages) == 2
    assert sum(found[name] for name in stages) == counted(windows)


@pytest.mark.parametrize("layer", range(3))
def test_the_backward_pass_of_windows(windows: Backbone, layer: int) -> None:
    """Maps of the lowest layer into its input are counted and do not run; all else does."""
    name = f"encoder.{layer:02d}.attention"
    (host,) = (host for host in windows.hosts if host.site.id == name)
    model: Any = windows.model
    real = ran(windows, [Choice(name, "bitfit", 1, ("q", "k", "v"))])["Global"]
    real -= ran(windows, [])["Global"] + 2 * ROWS * model.classifier.weight.numel()
    beyond = 3 * 2 * ROWS * host.tokens * host.linear("q").weight.numel()
    assert counted(windows, layer) - counted(windows) == real + beyond


def test_the_flops_of_a_swin_can_be_limited() -> None:
    from peftsearch import config as configuration

    backbone = wrap("test", FACTORIES["swin"]())
    tokens = flops.longest(backbone, LENGTH)
    assert tokens == flops.mean_tokens(features("swin"), backbone) == {"encoder": 16}
    limited = configuration.resolve(flags={"limits": {"train_flops": "50%"}})
    cost = cost_function(backbone.hosts)
    limits = make_limits(limited, backbone, cost, tokens)
    everywhere = flops.lora_everywhere(backbone.sites)
    (row,) = limits.resources
    assert row.limit == pytest.approx(0.5 * limits.used(row, everywhere))
    with pytest.raises(ConfigError, match="is not counted"):
        make_limits(limited, backbone, cost, None)


def test_masks_of_layers_that_are_off_do_not_count() -> None:
    """A layer keeps the masks of the last batch that it was on for, which had other rows."""
    from peftsearch import testing
    from peftsearch.injection import insert_architecture

    backbone = wrap("test", FACTORIES["swin"]())
    model, batch = backbone.model, inputs(backbone.model)
    plain = testing.logits(model, batch)
    pieces = []
    for method in ("lora", "ia3"):
        choices = testing.choices_for(backbone, method)
        found = testing.architecture_of(backbone, choices)
        pieces.append(insert_architecture(backbone.hosts, found))
        testing.draw(pieces[-1])
    testing.switch(pieces[0], torch.ones(8, 1, 5), active=False)
    testing.switch(pieces[1], torch.zeros(ROWS, 1, 1))
    assert torch.allclose(testing.logits(model, batch), plain, atol=1e-5)
