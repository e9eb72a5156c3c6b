"""The table of a machine: what is planted is found, the model stays clean, files say the same."""

from __future__ import annotations

from typing import Any

import pytest

from peftsearch.architecture import Choice
from peftsearch.backbones.base import Backbone, wrap
from peftsearch.metering import latency
from peftsearch.methods.base import SLOT, PeftSlot
from tests.models import FACTORIES

#: Planted: what the layers of one insertion add to a second, at size 0 and for every one of it.
PLANTED = {"lora": (0.02, 0.001), "adapter": (0.05, 0.004), "ia3": (0.01, 0.0)}


@pytest.fixture
def backbone() -> Backbone:
    return wrap("t5", FACTORIES["t5"]())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """In place of a clock: every layer takes its planted time, and every other pass is slow."""
    calls: list[int] = []

    def seconds(backbone: Backbone, forward: Any) -> float:
        calls.append(1)
        total = 1.0
        for module in backbone.model.modules():
            slot = module._modules.get(SLOT)
            for key, layer in slot.layers.items() if isinstance(slot, PeftSlot) else ():
                method, *modules = str(key).split("_")
                start, slope = PLANTED[method]
                parameters = dict(layer.named_parameters())
                size = next((parameters[n].shape[0] for n in ("A", "down") if n in parameters), 0)
                total += (start + slope * size) / len(modules)
        return total

    monkeypatch.setattr(latency, "seconds", seconds)
    return calls


WANTED = [
    *(Choice("encoder.00.attention", "lora", n, ("q", "v")) for n in (1, 2, 8)),
    Choice("decoder.01.attention", "lora", 4, ("q", "v")),
    Choice("encoder.00.feed_forward", "adapter", 2, ("down",)),
    Choice("encoder.00.feed_forward", "adapter", 6, ("down",)),
    Choice("encoder.01.attention", "ia3", 1, ("k", "v")),
    Choice("encoder.01.attention"),
]


def test_what_is_planted_is_found(backbone: Backbone, clock: list[int]) -> None:
    clean = [name for name, _ in backbone.model.named_modules()]
    found = latency.measure(backbone, WANTED, lambda: None, rounds=3)
    assert [name for name, _ in backbone.model.named_modules()] == clean
    sites = {site.id: site for site in backbone.sites}
    meter = latency.Timings.from_json(found.to_json()).meter()
    assert found.seconds == 1.0
    for size in (1, 3, 16):  # between and beyond the sizes that were timed
        share = meter(sites["encoder.01.attention"], "lora", ("q", "v"), size)
        assert share == pytest.approx(0.02 + 0.001 * size)
        share = meter(sites["encoder.01.feed_forward"], "adapter", ("down",), size)
        assert share == pytest.approx(0.05 + 0.004 * size)
    assert meter(sites["encoder.00.attention"], "ia3", ("k", "v"), 1) == pytest.approx(0.01)
    assert meter(sites["decoder.00.attention"], "ia3", ("k", "v"), 1) == float("inf")
    of_one = meter(sites["encoder.00.attention"], "lora", ("q",), 2)
    assert of_one == pytest.approx(0.022 / 2)
    assert len(clock) > 3 * 7


def test_noise_makes_nothing_faster() -> None:
    line = latency._line([(1, 0.01), (8, -0.02)])
    assert (line.slope, line.at(1), line.at(100)) == (0.0, 0.0, 0.0)
    assert latency._line([(1, 0.01)]).at(64) == 0.01


def test_a_whole_architecture_is_timed_beside_the_frozen_model(
    backbone: Backbone, clock: list[int]
) -> None:
    both = [WANTED[2], WANTED[6]]
    _, (share,) = latency.timed(backbone, [both], lambda: None, rounds=2)
    assert share == pytest.approx(0.028 + 0.01)
    assert sum(clock) == 2 * 3
