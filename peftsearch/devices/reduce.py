"""Gradients of the whole batch, from those of the slices.

Not DistributedDataParallel: a hard sample leaves most layers of the supernet out, another set at
every step, so DDP would have to walk the graph at each step to find out which parameters it
waits for in vain. What is trained here is small (a percent of the model), so all of it is summed
at once in one buffer after the backward pass: one message a step, the same code for weights and
gates, and nothing at all in a single process.

The sum has the same bits in every process (gloo and NCCL add each element up in one place and
hand it round), so parameters stay equal and every process decides alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from peftsearch import ranks


def summed(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the sums over all processes, each with the shape, type and device of its tensor."""
    found = list(tensors)
    if ranks.size() == 1:
        return found
    for device in sorted({str(tensor.device) for tensor in tensors}):  # gates are on the CPU
        here = [i for i, tensor in enumerate(tensors) if str(tensor.device) == device]
        buffer = torch.cat([tensors[i].detach().flatten() for i in here])
        with ranks.connected() as dist:
            dist.all_reduce(buffer)
        parts = torch.split(buffer, [tensors[i].numel() for i in here])
        for i, part in zip(here, parts, strict=True):
            found[i] = part.view_as(tensors[i]).to(tensors[i].dtype)
    return found


@torch.no_grad()
def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace the gradients by their sums over all processes.

    A parameter that has a gradient in any process has one in all, and else in none: Adam leaves
    a parameter without a gradient alone, but moves one whose gradient is zero.
    """
    if ranks.size() == 1:
        return
    all_parameters = list(parameters)
    if not all_parameters:
        return
    there = torch.tensor(
        [parameter.grad is not None for parameter in all_parameters],
        dtype=all_parameters[0].dtype,
        device=all_parameters[0].device,
    )
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in all_parameters]
    anywhere, *sums = summed([there, *grads])
    for parameter, gradient, any_ in zip(all_parameters, sums, anywhere.tolist(), strict=True):
        parameter.grad = gradient if any_ else None
