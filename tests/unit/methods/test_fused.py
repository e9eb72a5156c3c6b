"""Methods on one map that gives queries, keys and values, against three maps of their own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from peftsearch.architecture import Choice
from peftsearch.catalogue import method_facts
from peftsearch.injection import count, insert_choice
from peftsearch.methods.base import SiteHost
from peftsearch.site import Site

WIDTH, QUERIES, KEYS = 12, 12, 6
PARTS = {"q": slice(0, 12), "k": slice(12, 18), "v": slice(18, 24)}


class _Core(nn.Module):
    """An attention module with an interface for prefixes."""

    def __init__(self) -> None:
        super().__init__()
        self.config = type("Config", (), {"_attn_implementation": "eager"})()


def _fused(widths: tuple[int, ...] = (QUERIES, KEYS, KEYS)) -> SiteHost:
    torch.manual_seed(0)
    total = sum(widths) or 24
    maps = {"qkv": nn.Linear(WIDTH, total), "o": nn.Linear(WIDTH, WIDTH)}
    site = Site("decoder", 0, "attention", tuple(maps))
    return SiteHost(site, maps, _Core(), 3, nn.LayerNorm(WIDTH), widths)


def _apart(host: SiteHost) -> SiteHost:
    """Return the same maps in three modules."""
    whole, maps = host.linear("qkv"), {}
    for name, rows in PARTS.items():
        maps[name] = nn.Linear(WIDTH, rows.stop - rows.start)
        maps[name].load_state_dict({"weight": whole.weight[rows], "bias": whole.bias[rows]})
    site = Site("decoder", 0, "attention", tuple(maps))
    return SiteHost(site, maps, host.core, 3, host.key_norm)


@pytest.mark.parametrize(
    ("method", "modules", "cost"),
    [
        ("lora", ("qkv",), 2 * (12 + 24)),
        ("ia3", ("qkv",), 24),
        ("bitfit", ("qkv", "o"), 24 + 12),
        ("adapter", ("o",), 2 * (12 + 12) + 2 + 12),
        ("prefix", ("qkv",), 2 * (6 + 6)),
    ],
)
def test_what_is_taken_and_counted(method: str, modules: tuple[str, ...], cost: int) -> None:
    host, card = _fused(), method_facts()[method]
    assert card.modules_at(host.site) == modules
    size = 2 if card.sized else 1
    assert count(host, method, modules, size) == cost
    insertion = insert_choice(host, Choice(host.site.id, method, size, modules, cost))
    assert insertion.num_params == cost


def test_where_the_parts_stand() -> None:
    host = _fused()
    assert {name: host.outputs(name)[1] for name in PARTS} == PARTS
    equal = _fused(widths=())
    assert [equal.outputs(name)[1] for name in PARTS] == [slice(i, i + 8) for i in (0, 8, 16)]


def test_a_prefix_starts_as_with_three_maps() -> None:
    found = []
    for host in (_fused(), _apart(_fused())):
        modules = method_facts()["prefix"].modules_at(host.site)
        torch.manual_seed(1)
        choice = Choice(host.site.id, "prefix", 4, modules, count(host, "prefix", modules, 4))
        torch.manual_seed(1)
        found.append(insert_choice(host, choice).layers["core"])
    ours, wanted = found
    torch.testing.assert_close(ours.key, wanted.key)
    torch.testing.assert_close(ours.value, wanted.value)
    assert ours.key.shape == (4, KEYS)
