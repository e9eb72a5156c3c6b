"""Methods on one map that gives queries, keys and values, against three maps of their own."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
import transformers
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from peftsearch.architecture import Choice
from peftsearch.backbones.base import wrap
from peftsearch.backbones.fused_layout import fused_layout
from peftsearch.catalogue import method_facts
from peftsearch.injection import count, insert_choice
from peftsearch.methods.base import SiteHost
from peftsearch.site import Site
from tests.models import randomise

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
    found = {name: host.outputs(name)[1] for name in PARTS}
    assert found == {name: list(range(24))[rows] for name, rows in PARTS.items()}
    equal = _fused(widths=())
    thirds = [list(range(i, i + 8)) for i in (0, 8, 16)]
    assert [equal.outputs(name)[1] for name in PARTS] == thirds


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


# --- heads side by side ---


def _given_to_attention(model: Any, core: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return keys and values (B, H, T, K) that a model itself gives to its attention function."""
    seen: dict[str, torch.Tensor] = {}

    def note(module: Any, query: Any, key: Any, value: Any, *rest: Any, **more: Any) -> Any:
        if module is core:
            seen.update(k=key, v=value)
        return eager(module, query, key, value, *rest, **more)

    eager = sys.modules[type(core).__module__].eager_attention_forward
    ALL_ATTENTION_FUNCTIONS.register("noted", note)
    try:
        model.config._attn_implementation = "noted"
        model(inputs_embeds=x)
    finally:
        model.config._attn_implementation = "eager"
    return seen


@pytest.mark.parametrize(("kind", "by_heads"), [("GPTNeoX", True), ("Persimmon", True)])
@torch.no_grad()
def test_a_prefix_starts_at_the_keys_and_values_of_the_model_itself(
    kind: str, by_heads: bool
) -> None:
    settings = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 1,
                "num_attention_heads": 4, "intermediate_size": 40, "qk_layernorm": False,
                "pad_token_id": 0, "attn_implementation": "eager"}  # fmt: skip
    config = getattr(transformers, f"{kind}Config")(**settings)
    model = randomise(getattr(transformers, f"{kind}ForCausalLM")(config))
    hosts = {host.site.part: host for host in wrap("test", model).hosts}
    host = hosts["attention"]
    assert host.by_heads is by_heads
    assert "prefix" not in host.site.refused
    incoming: list[torch.Tensor] = []
    handle = host.modules["qkv"].register_forward_pre_hook(lambda _, args: incoming.append(args[0]))
    assert host.core is not None
    seen = _given_to_attention(model, host.core, torch.randn(1, 3, 32))
    handle.remove()
    for name in ("k", "v"):
        linear, rows = host.outputs(name)
        found = incoming[0] @ linear.weight[rows].t()
        found = found if linear.bias is None else found + linear.bias[rows]
        # Rotary positions leave the first key as it is, and values everywhere.
        wanted = seen[name].transpose(1, 2).flatten(2)
        places = slice(0, 1) if name == "k" else slice(None)
        torch.testing.assert_close(found[:, places], wanted[:, places], rtol=1e-4, atol=1e-5)


def test_code_that_does_not_tell_the_layout_refuses_prefixes() -> None:
    class Silent(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    assert fused_layout(Silent()) == ""
    assert fused_layout(type("Made", (nn.Module,), {})()) == ""
