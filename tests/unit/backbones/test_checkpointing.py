"""Gradient checkpointing changes memory and nothing else: the same loss and the same gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from peftsearch import testing
from peftsearch.backbones.base import Backbone, wrap
from peftsearch.backbones.checkpointing import checkpoint_layers
from peftsearch.catalogue import method_facts
from peftsearch.errors import ConfigError
from peftsearch.injection import cost_function, insert_choice
from peftsearch.memory.kept import counting
from peftsearch.memory.sketch import Shape, sample_loss
from peftsearch.space_spec import apply_space, parse_space
from peftsearch.supernet.gates import PricedGates
from peftsearch.supernet.supernet import Supernet
from tests.models import FACTORIES

SHAPE = Shape(rows=4, tokens=9, targets=5)
#: How each family calls its dropout.
DROPPED = {
    "t5": {"dropout_rate": 0.2},
    "bart": {"dropout": 0.2, "attention_dropout": 0.2},
    "bert": {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.2},
    "llama": {"attention_dropout": 0.2},
    "gpt2": {"resid_pdrop": 0.2, "embd_pdrop": 0.2, "attn_pdrop": 0.2},
    "modernbert": {"mlp_dropout": 0.2},
    "deberta_v2": {"hidden_dropout_prob": 0.2},
}
SPACE = {
    "name": "all",
    "combine": "one",
    "sites": [
        {
            "where": {"part": "attention"},
            "candidates": [
                {"method": "lora", "sizes": [1, 2]},
                {"method": "prefix", "sizes": [2]},
                {"method": "ia3"},
            ],
        },
        {
            "where": {"part": "feed_forward"},
            "candidates": [
                {"method": "adapter", "sizes": [1, 2]},
                {"method": "parallel_adapter", "sizes": [2]},
                {"method": "bitfit"},
            ],
        },
    ],
}


def backbone(name: str, checkpoints: bool) -> Backbone:
    found = wrap(name, FACTORIES[name](**DROPPED[name]))
    if checkpoints:
        checkpoint_layers(found.model)
    found.model.train()
    return found


def possible(found: Backbone) -> dict[str, Any]:
    """Return the space without what a family refuses."""
    refused = {name for site in found.sites for name in site.refused}
    rules = [
        {**rule, "candidates": [c for c in rule["candidates"] if c["method"] not in refused]}
        for rule in SPACE["sites"]  # type: ignore[attr-defined]
    ]
    return {**SPACE, "sites": rules}


@torch.no_grad()
def stir(found: Backbone) -> None:
    """Move what is trained: zeros at the start would hide gradients."""
    for parameter in found.model.parameters():
        if parameter.requires_grad:
            parameter.add_(0.1 * torch.randn_like(parameter))


def trained(name: str, checkpoints: bool) -> tuple[float, dict[str, Tensor], int]:
    """Return loss, gradients and bytes of a training step with every method inserted."""
    found = backbone(name, checkpoints)
    hosts = {host.site.id: host for host in found.hosts}
    torch.manual_seed(1)
    for method in method_facts():
        for choice in testing.choices_for(found, method) if method != "none" else ():
            insert_choice(hosts[choice.site], choice)
    stir(found)
    torch.manual_seed(2)
    with counting(found.model) as kept:
        loss = sample_loss(found.model, SHAPE)
    loss.backward()
    named = found.model.named_parameters()
    return float(loss.detach()), {n: p.grad for n, p in named if p.grad is not None}, kept.total


@pytest.mark.parametrize(
    "name",
    [
        "t5",
        "bert",
        "llama",
        *(
            pytest.param(each, marks=pytest.mark.slow)
            for each in ("bart", "gpt2", "modernbert", "deberta_v2")
        ),
    ],
)
def test_retraining_has_the_same_gradients(name: str) -> None:
    loss, gradients, bytes_kept = trained(name, checkpoints=False)
    same, again, fewer = trained(name, checkpoints=True)
    assert same == loss
    assert set(again) == set(gradients)
    assert len(gradients) > 20
    for key, gradient in gradients.items():
        torch.testing.assert_close(again[key], gradient, rtol=1e-6, atol=1e-7, msg=key)
    assert fewer < bytes_kept / 2


def gates_of(name: str, checkpoints: bool) -> tuple[Tensor, list[Tensor]]:
    """Return the gradients of the gates, and of the weights, for a step of the search."""
    found = backbone(name, checkpoints)
    sites, cost = found.sites, cost_function(found.hosts)
    spec = parse_space(possible(found), method_facts(), "all")
    torch.manual_seed(3)
    supernet = Supernet(found, apply_space(spec, sites, method_facts(), cost))
    stir(found)
    gates: Any = supernet.gates
    assert isinstance(gates, PricedGates)
    torch.manual_seed(4)
    choices = gates.draw(1 if found.rows_alike else 2, 5.0, 0.0, supernet.space.max_cost / 2)
    supernet.set(choices, SHAPE.rows, probed=0.5)
    loss = sample_loss(found.model, SHAPE)
    weights = [p for group in supernet.weight_parameters().values() for p in group]
    grads = torch.autograd.grad(loss, [gates.alphas, *weights], allow_unused=True)
    return grads[0], [g for g in grads[1:] if g is not None]


@pytest.mark.parametrize("name", ["t5", "bert", "llama"])
def test_a_search_has_the_same_gradients(name: str) -> None:
    gates, weights = gates_of(name, checkpoints=False)
    same, again = gates_of(name, checkpoints=True)
    torch.testing.assert_close(same, gates)
    assert gates.abs().sum() > 0
    assert len(weights) == len(again) > 5
    for one, other in zip(weights, again, strict=True):
        torch.testing.assert_close(one, other)


def test_a_model_without_it_is_refused() -> None:
    model = wrap("albert", FACTORIES["albert"]()).model
    with pytest.raises(ConfigError, match='models of type "albert" have none'):
        checkpoint_layers(model)
