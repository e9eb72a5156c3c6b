"""What the exporter for the adapters library refuses, without that library being there."""

from __future__ import annotations

from pathlib import Path

import pytest

from peftsearch import testing
from peftsearch.architecture import Choice
from peftsearch.backbones.base import Backbone, wrap
from peftsearch.errors import ExportError
from peftsearch.export import adapters, writing
from tests.unit.export.adapters_material import HELD, METHODS, MODELS, TARGET, trained
from tests.unit.export.material import architecture, choice, fresh


def _reasons(backbone: Backbone, *choices: Choice) -> dict[tuple[str, str], str]:
    found = writing.problems(TARGET, architecture(backbone, choices), backbone)
    return {(p.site, p.method): p.reason for p in found}


@pytest.mark.parametrize("family", sorted(set(MODELS) - set(HELD)))
def test_of_all_other_types_every_choice_is_refused(family: str) -> None:
    backbone = wrap("test", MODELS[family]())
    for method in METHODS:
        for one in testing.choices_for(backbone, method):
            reasons = _reasons(backbone, one)
            assert all(reasons.values())
            if family != "clip_classifier":
                assert set(reasons) == {(one.site, method)}


def test_modules_that_library_does_not_reach() -> None:
    backbone = fresh("t5_v1_1")
    found = _reasons(
        backbone,
        choice(backbone, "encoder.00.attention", "lora", 2, "q", "o"),
        choice(backbone, "encoder.00.feed_forward", "lora", 2, "gate", "up"),
        choice(backbone, "encoder.01.feed_forward", "lora", 2, "up", "down"),
    )
    assert found == {
        ("encoder.00.attention", "lora"): "adapters has lora on q, k, v alone, not on o",
        ("encoder.00.feed_forward", "lora"): "adapters has lora on up, down alone, not on gate",
    }


def test_both_attentions_of_a_decoder_layer_or_none() -> None:
    backbone = fresh("bart")
    own, cross = "decoder.00.attention", "decoder.00.cross_attention"
    one = choice(backbone, own, "lora", 2, "q", "v")
    assert (
        "would put the same on the layer's cross_attention" in _reasons(backbone, one)[own, "lora"]
    )
    twin = choice(backbone, cross, "lora", 2, "v", "q")
    assert _reasons(backbone, one, twin) == {}
    for other in (
        choice(backbone, cross, "lora", 3, "q", "v"),
        choice(backbone, cross, "lora", 2, "q"),
        choice(backbone, "decoder.01.cross_attention", "lora", 2, "q", "v"),
    ):
        assert set(_reasons(backbone, one, other)) == {(own, "lora"), (other.site, "lora")}
    assert _reasons(backbone, choice(backbone, "encoder.00.attention", "lora", 2, "q")) == {}


def test_what_meets_on_one_module() -> None:
    backbone = fresh("t5")
    site, inner = "encoder.00.attention", "encoder.00.feed_forward"
    lora, ia3 = (choice(backbone, site, m, 2, "k", "v") for m in ("lora", "ia3"))
    assert set(_reasons(backbone, lora, ia3)) == {(site, "lora"), (site, "ia3")}
    assert _reasons(backbone, choice(backbone, site, "lora", 2, "q"), ia3) == {}
    two = [choice(backbone, site, "lora", n, *names) for n, names in ((2, "q"), (3, "qk"))]
    assert set(_reasons(backbone, *two)) == {(site, "lora")}
    scaled = choice(backbone, inner, "ia3", 1)
    assert _reasons(backbone, choice(backbone, inner, "lora", 2, "down"), scaled) == {}
    up = choice(backbone, inner, "lora", 2, "up")
    assert set(_reasons(backbone, up, scaled)) == {(inner, "lora"), (inner, "ia3")}


def test_serial_and_parallel_adapter_at_one_feed_forward() -> None:
    backbone, inner = fresh("bert"), "encoder.00.feed_forward"
    serial, parallel = (choice(backbone, inner, m, 2) for m in ("adapter", "parallel_adapter"))
    assert set(_reasons(backbone, serial, parallel)) == {
        (inner, serial.method),
        (inner, parallel.method),
    }
    elsewhere = choice(backbone, "encoder.01.feed_forward", "parallel_adapter", 2)
    assert _reasons(backbone, serial, elsewhere) == {}


def test_negative_factors_before_a_relu_are_refused(tmp_path: Path) -> None:
    site = "encoder.00.feed_forward"
    for family, refused in (("t5", True), ("t5_v1_1", False)):
        backbone = fresh(family)
        bundle = trained(backbone, [choice(backbone, site, "ia3", 1)])
        bundle.of(site, "ia3", "down")["delta"][:2] = -1.5
        folder = tmp_path / family
        folder.mkdir()
        if refused:
            with pytest.raises(ExportError, match=f"{site}: ia3: 2 negative factors"):
                adapters.write(bundle, folder)
        else:
            adapters.write(bundle, folder)


def test_an_empty_architecture_is_refused() -> None:
    assert "nothing was chosen" in _reasons(fresh("t5"))["all sites", "none"]
