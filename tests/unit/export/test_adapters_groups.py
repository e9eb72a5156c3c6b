"""Which choices become one adapter of the adapters library, and of which size."""

from __future__ import annotations

import json

import pytest

from peftsearch.export.adapters_groups import adapters_of, reduction_factor
from tests.unit.export.material import bundle_of, choice, fresh


@pytest.mark.parametrize("width", [8, 64, 768, 1000, 1024])
def test_every_size_of_a_bottleneck_is_met(width: int) -> None:
    """That library takes ``int(width // factor)``, after a trip through JSON."""
    for size in range(1, 1025):
        factor = json.loads(json.dumps(reduction_factor(width, size)))
        assert int(width // factor) == size


def test_choices_that_agree_are_one_adapter() -> None:
    backbone = fresh("t5")
    bundle = bundle_of(
        backbone,
        [
            choice(backbone, "encoder.00.attention", "lora", 2, "q", "v"),
            choice(backbone, "encoder.01.attention", "lora", 2, "v", "q"),
            choice(backbone, "decoder.01.attention", "lora", 3, "q"),
            choice(backbone, "decoder.01.cross_attention", "lora", 3, "q"),
            choice(backbone, "encoder.00.feed_forward", "adapter", 3),
            choice(backbone, "decoder.00.feed_forward", "adapter", 7),
        ],
    )
    found = {each.name: each for each in adapters_of(bundle)}
    left_out = {name: each.config["leave_out"] for name, each in found.items()}
    assert left_out == {
        "lora_attention_q_v_r2": [2, 3],
        "lora_attention_q_r3": [0, 1, 2],
        "adapter_feed_forward": [1, 3],
    }
    for each in found.values():
        assert sum(tensor.numel() for tensor in each.tensors.values()) == each.num_params
