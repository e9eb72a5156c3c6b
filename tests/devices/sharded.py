"""A model in shards beside the same model whole: losses and gradients of every method."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from peftsearch import ranks, testing
from peftsearch.backbones.base import freeze, wrap
from peftsearch.catalogue import method_facts
from peftsearch.devices.sharding import is_sharded, shard_layers
from peftsearch.injection import insert_architecture, remove_all
from tests.models import FACTORIES, t5


def models() -> dict[str, Any]:
    """Return a T5 of several layers and a BERT, the same at every call."""
    torch.manual_seed(0)
    made = {
        "t5": t5(16, num_layers=2, num_decoder_layers=2, vocab_size=32),
        "bert": FACTORIES["bert"](),
    }
    for model in made.values():
        freeze(model.eval())
    return made


def trained(model: Any, method: str) -> list[float]:
    """Return the loss and the gradients of one method everywhere, at the same weights."""
    backbone = wrap("test", model)
    architecture = testing.architecture_of(backbone, testing.choices_for(backbone, method))
    torch.manual_seed(1)
    insertions = insert_architecture(backbone.hosts, architecture)
    named = [pair for insertion in insertions for pair in insertion.tensors()]
    torch.manual_seed(2)
    with torch.no_grad():
        for _, parameter in named:
            parameter += 0.1 * torch.randn(parameter.shape)
    ids = torch.arange(12).view(2, 6) % 30 + 1
    more = {"decoder_input_ids": ids, "use_cache": False} if model.config.is_encoder_decoder else {}
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), **more).logits
    loss = logits.float().log_softmax(-1)[..., 1].mean()
    loss.backward()
    grads = [p.grad for _, p in named if p.grad is not None]
    found = [float(loss.detach()), *torch.cat([g.flatten() for g in grads]).tolist()]
    remove_all(insertions)
    return found


def main() -> None:
    ranks.join()
    ranks.wait()
    found: dict[str, Any] = {"rank": ranks.rank()}
    for name, whole in models().items():
        cut = models()[name]
        shard_layers(cut, torch.device("cpu"))
        assert is_sharded(cut)
        assert not is_sharded(whole)
        kept = [n for n, p in cut.named_parameters() if not isinstance(p, DTensor)]
        found[name] = {"kept": kept, "parameters": len(list(cut.parameters()))}
        for method in method_facts():
            if method != "none":
                found[name][method] = [trained(model, method) for model in (cut, whole)]
    ranks.part()
    Path(sys.argv[1], f"{ranks.rank()}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
