"""Gradients of the validation loss with respect to the architecture parameters.

Three functions with one job each, free of any model: losses come in as functions that draw the
same random numbers at every call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

#: Gives a loss; or, where memory is short, its summands one after the other, so that only one of
#: their graphs is there at a time.
Loss = Callable[[], Tensor | Iterable[Tensor]]
#: Adds gradients up over all processes of a run, where each has the loss of its own rows only.
Sum = Callable[[Sequence[Tensor]], list[Tensor]]
#: Length of the finite-difference step, as in DARTS.
_STEP = 0.01


def first_order(valid_loss: Loss, arch: Sequence[nn.Parameter], add: Sum = list) -> list[Tensor]:
    """Return the gradient at the current weights: one forward, one backward.

    Source: DARTS (Liu et al. 2019, arXiv 1806.09055), eq. 6 with xi = 0. Given the training
    loss instead, it is the single-level control.
    """
    return _gradients(valid_loss, arch, add)


def second_order(
    train_loss: Loss,
    valid_loss: Loss,
    weights: Sequence[nn.Parameter],
    arch: Sequence[nn.Parameter],
    rates: Sequence[float],
    add: Sum = list,
) -> list[Tensor]:
    """Return the gradient through one virtual step of gradient descent on the weights.

        g = d_a L_val(w', a) - d2_{a,w} L_tr(w, a) (r * d_w' L_val),     w' = w - r * d_w L_tr

    The mixed second derivative is a central difference along the weights: four forwards and
    backwards, one extra copy of the weights. The weights are given back bit for bit, also when
    something raises.

    Args:
        train_loss: Lower-level loss L_tr.
        valid_loss: Upper-level loss L_val.
        weights: The weights w.
        arch: The architecture parameters a.
        rates: Rate r of the virtual step for each weight tensor.
        add: Adds gradients up over all processes.

    Source: DARTS, eq. 6 to 8; the rate is per tensor, since each method has its own.
    """
    saved = [weight.detach().clone() for weight in weights]
    try:
        down = _gradients(train_loss, weights, add)
        _move(weights, saved, [-r * d for r, d in zip(rates, down, strict=True)], 1.0)
        grads = _gradients(valid_loss, [*arch, *weights], add)
        direct, outward = grads[: len(arch)], grads[len(arch) :]
        direction = [r * d for r, d in zip(rates, outward, strict=True)]
        norm = torch.sqrt(sum((d.double().pow(2).sum() for d in direction), torch.zeros(())))
        if float(norm) == 0.0:
            return direct
        step = _STEP / float(norm)
        _move(weights, saved, direction, step)
        above = _gradients(train_loss, arch, add)
        _move(weights, saved, direction, -step)
        below = _gradients(train_loss, arch, add)
    finally:
        with torch.no_grad():
            for weight, value in zip(weights, saved, strict=True):
                weight.copy_(value)
    return [g - (up - lo) / (2 * step) for g, up, lo in zip(direct, above, below, strict=True)]


def _gradients(loss: Loss, parameters: Sequence[nn.Parameter], add: Sum) -> list[Tensor]:
    """Return gradients, zero where the loss does not depend on a parameter."""
    found = loss()
    total: list[Tensor] = []
    for part in [found] if isinstance(found, Tensor) else found:
        grads = torch.autograd.grad(part, list(parameters), allow_unused=True)
        pairs = zip(grads, parameters, strict=True)
        own = [torch.zeros_like(p) if g is None else g for g, p in pairs]
        total = [a + b for a, b in zip(total, own, strict=True)] if total else own
    return add(total)


@torch.no_grad()
def _move(
    weights: Sequence[nn.Parameter],
    origin: Sequence[Tensor],
    direction: Sequence[Tensor],
    length: float,
) -> None:
    for weight, start, along in zip(weights, origin, direction, strict=True):
        weight.copy_(start + length * along)
