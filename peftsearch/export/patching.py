"""Other values for some of a model's parameters, for as long as a block lasts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def patched(model: nn.Module, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Put tensors in the place of parameters by name, and the old ones back at the end.

    Only what is touched is held twice, so a large backbone needs no second copy.

    Args:
        model: Changed in place.
        tensors: New values by parameter name, of the same shape; they take the parameter's
            type and device.
    """
    before = {name: model.get_parameter(name).data for name in tensors}
    try:
        for name, tensor in tensors.items():
            parameter = model.get_parameter(name)
            if parameter.shape != tensor.shape:
                raise ValueError(f"{name}: {tuple(tensor.shape)} for {tuple(parameter.shape)}")
            parameter.data = tensor.to(parameter.device, parameter.dtype)
        yield
    finally:
        for name, old in before.items():
            model.get_parameter(name).data = old
