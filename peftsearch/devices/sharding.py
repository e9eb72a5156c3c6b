"""A frozen backbone that does not fit one device: its layers in shards (FSDP).

Each layer of a stack (an entry of a ``ModuleList``) is cut over all devices and gathered only
while it computes, forwards and backwards. What is trained is inserted later and stays whole
everywhere, so its gradients are summed as ever; embeddings, last norms and the head stay whole
too, since formats call the encoder apart from the model.

Every process must then take the same passes through the model, so all predict every row.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule, fully_shard

from peftsearch import ranks


def shard_layers(model: nn.Module, device: torch.device) -> None:
    """Cut the frozen layers of a model over all processes; nothing in a single one."""
    if ranks.size() == 1:
        return
    from torch.distributed.device_mesh import init_device_mesh

    with ranks.connected():
        mesh = init_device_mesh(device.type, (ranks.size(),))
        for stack in [m for m in model.modules() if isinstance(m, nn.ModuleList)]:
            for layer in stack:
                if not _inside_shard(layer, model):
                    # Told to: a layer without a parent in shards would stay gathered.
                    fully_shard(layer, mesh=mesh, reshard_after_forward=True)


def _inside_shard(layer: nn.Module, model: nn.Module) -> bool:
    """Whether a layer is a part of one that is in shards already, or has nothing to cut."""
    whole = any(True for _ in layer.parameters())
    return not whole or any(
        layer is part
        for module in model.modules()
        if isinstance(module, FSDPModule)
        for part in module.modules()
    )


def is_sharded(model: nn.Module) -> bool:
    """Whether every process must take the same passes through a model."""
    return any(isinstance(module, FSDPModule) for module in model.modules())
