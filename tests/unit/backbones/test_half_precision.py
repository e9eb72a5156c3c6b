"""Every family in bfloat16, as a run computes with it: trained, searched and scored."""

from __future__ import annotations

import pytest
import torch

from peftsearch import testing
from peftsearch.backbones.base import wrap
from peftsearch.backbones.loading import in_full
from peftsearch.catalogue import method_facts
from peftsearch.injection import insert_choice
from peftsearch.memory.sketch import Shape, sample_loss
from tests.models import FACTORIES

SHAPE = Shape(rows=3, tokens=8, targets=4)
FAST = ("t5", "bert", "deberta", "llama")
EACH = [
    pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow])
    for name in FACTORIES
    if name != "bart_classifier"  # reads the end token, which the sample has not
]


@pytest.mark.parametrize("name", EACH)
def test_a_step_and_a_score(name: str) -> None:
    backbone = wrap(name, FACTORIES[name]().to(torch.bfloat16))
    in_full(backbone.model)
    hosts = {host.site.id: host for host in backbone.hosts}
    inserted = [
        insert_choice(hosts[choice.site], choice)
        for method in method_facts()
        if method != "none"
        for choice in testing.choices_for(backbone, method)
    ]
    backbone.model.train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = sample_loss(backbone.model, SHAPE)
    assert loss.dtype == torch.float32
    loss.backward()
    grads = [p.grad for one in inserted for _, p in one.tensors() if p.grad is not None]
    assert len(grads) > 10
    assert all(g.dtype == torch.float32 and bool(g.isfinite().all()) for g in grads)
    backbone.model.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert bool(sample_loss(backbone.model, SHAPE).isfinite())
