"""Names of sites."""

from __future__ import annotations

import pytest

from peftsearch.site import PARTS, Site, from_json, split_id
from tests.shapes import t5_sites


def test_ids() -> None:
    assert Site("encoder", 3, "attention").id == "encoder.03.attention"
    assert Site("decoder", 123, "cross_attention").id == "decoder.123.cross_attention"


def test_ids_and_json_lead_back() -> None:
    sites = t5_sites()
    assert from_json([site.to_json() for site in sites]) == sites
    assert [split_id(s.id) for s in sites] == [(s.stack, s.layer, s.part) for s in sites]
    assert len({site.id for site in sites}) == len(sites)
    assert {site.part for site in sites} == set(PARTS)


def test_a_fused_map_stands_for_each_of_its_parts_once() -> None:
    plain, fused = Site("encoder", 0, "attention", ("q", "k", "v", "o")), ("qkv", "o")
    site = Site("encoder", 0, "attention", fused)
    assert plain.resolve(("v", "q", "gate")) == ("v", "q")
    assert plain.resolve(["qkv"]) == ()
    assert site.resolve(("q", "v")) == site.resolve(["k"]) == ("qkv",)
    assert site.resolve(("o", "q", "qkv")) == ("o", "qkv")
    assert Site("encoder", 0, "feed_forward", ("up",)).resolve(("q", "up", "gate")) == ("up",)


def test_what_a_site_refuses_is_written_and_read() -> None:
    site = Site("encoder", 0, "attention", ("q",), {"prefix": "it has no keys"})
    (again,) = from_json([site.to_json()])
    assert again.refused == site.refused
    assert "refused" not in Site("encoder", 0, "attention", ("q",)).to_json()


@pytest.mark.parametrize("text", ["", "encoder", "encoder.03", "encoder.x.norm", "a.0.b.c"])
def test_not_an_id(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|unpack|invalid literal"):
        split_id(text)
