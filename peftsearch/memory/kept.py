"""What autograd keeps for the backward pass: bytes, each storage once, by block of the model.

Works on real tensors, for measuring, as on fake ones, for planning: the same code counts both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from transformers.modeling_layers import GradientCheckpointingLayer


@dataclass
class Kept:
    """Bytes that one forward pass leaves behind for the backward pass.

    Attributes:
        blocks: Of each layer that can be checkpointed, by the name of its module.
        inputs: Of the hidden states that go into each of them.
        rest: Of everything outside of them: embeddings, head, logits, loss.
    """

    blocks: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    inputs: dict[str, int] = field(default_factory=dict)
    rest: int = 0

    @property
    def total(self) -> int:
        """Bytes that are alive when the backward pass begins."""
        return self.rest + sum(self.blocks.values())

    @property
    def checkpointed(self) -> int:
        """Bytes where layers keep their input only: all inputs, and one layer made again."""
        return self.rest + sum(self.inputs.values()) + max(self.blocks.values(), default=0)


@contextmanager
def counting(model: nn.Module) -> Iterator[Kept]:
    """Count what the passes of this block keep; the model's own tensors are left out.

    Args:
        model: The model, with what is inserted.
    """
    found, inside = Kept(), list[str]()
    seen = {_storage(tensor) for tensor in _own(model)}
    alive: list[Tensor] = []  # so that no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        address = _storage(tensor)
        if address not in seen:
            seen.add(address)
            alive.append(tensor)
            size = tensor.untyped_storage().nbytes()
            if inside:
                found.blocks[inside[-1]] += size
            else:
                found.rest += size
        return tensor

    def enter(name: str, args: tuple[Any, ...]) -> None:
        inside.append(name)
        found.inputs[name] = sum(_bytes(each) for each in args[:1])

    with ExitStack() as hooks:
        for name, module in model.named_modules():
            if isinstance(module, GradientCheckpointingLayer):
                before = module.register_forward_pre_hook(
                    lambda _, args, name=name: enter(name, args)
                )
                after = module.register_forward_hook(lambda *_: inside.pop() and None)
                hooks.callback(before.remove)
                hooks.callback(after.remove)
        hooks.enter_context(saved_tensors_hooks(pack, lambda tensor: tensor))
        yield found


def _own(model: nn.Module) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _bytes(value: Any) -> int:
    return value.numel() * value.element_size() if isinstance(value, Tensor) else 0
