"""Tokens of images, and the FLOPs of layers that see them, against torch's own counter."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from peftsearch.backbones.base import wrap
from peftsearch.errors import ConfigError
from peftsearch.formats import Feature
from peftsearch.injection import cost_function
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


def test_where_layers_see_different_numbers_nothing_is_counted() -> None:
    from peftsearch import config as configuration

    backbone = wrap("test", FACTORIES["swin"]())
    assert flops.mean_tokens(features("swin"), backbone) is None
    assert flops.longest(backbone, LENGTH) is None
    cost = cost_function(backbone.hosts)
    assert make_limits(configuration.resolve(), backbone, cost, None).resources == ()
    limited = configuration.resolve(flags={"limits": {"train_flops": "50%"}})
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
