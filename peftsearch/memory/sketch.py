"""A step on a model that holds no numbers: every operator runs, nothing is computed or allocated.

The passes are the ones a run makes, on tensors with shapes, types and devices alone (PyTorch's
fake tensors), so what they keep is counted and not guessed: every family, every inserted layer,
every kernel of attention that the CPU would choose.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from transformers.modeling_layers import GradientCheckpointingLayer

from peftsearch.architecture import Choice
from peftsearch.backbones.base import Backbone
from peftsearch.formats.base import position_limit
from peftsearch.injection import insert_choice, remove_all
from peftsearch.memory.kept import Kept, counting
from peftsearch.space import SearchSpace
from peftsearch.supernet.gates import PricedGates
from peftsearch.supernet.supernet import Bank, Supernet

#: Layers of each stack on which architectures are compared.
_LAYERS = 1


@dataclass(frozen=True)
class Shape:
    """The rows that go through the model at once.

    Attributes:
        rows: How many.
        tokens: Tokens of each input.
        targets: Tokens of each answer, for encoder-decoders.
    """

    rows: int
    tokens: int
    targets: int = 1


class Sketch:
    """A backbone without numbers.

    Args:
        make: Builds the backbone on the CPU.
        half: Whether its products are computed in bfloat16.
        accelerator: Whether to count as on a GPU: a mask of dropout takes one byte there, and
            attention with dropout keeps no scores.
    """

    def __init__(self, make: Callable[[], Backbone], half: bool, accelerator: bool) -> None:
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)
        self.half, self.accelerator = half, accelerator
        with self.mode:
            self.backbone = make()
        self.backbone.model.train()

    def heaviest(self, several: Sequence[Sequence[Choice]], shape: Shape) -> Kept:
        """Count a pass with those choices inserted that keep most, as the lowest layers tell."""
        with _lowest(self.backbone.model, _LAYERS):
            totals = [self.trained(choices, shape).total for choices in several]
        return self.trained(several[totals.index(max(totals))], shape)

    def trained(self, choices: Sequence[Choice], shape: Shape) -> Kept:
        """Count a pass with choices inserted, as in retraining."""
        hosts = {host.site.id: host for host in self.backbone.hosts}
        with self._running():
            insertions = [insert_choice(hosts[choice.site], choice) for choice in choices]
            try:
                return self._pass(shape)
            finally:
                remove_all(insertions)

    @contextmanager
    def searched(self, space: SearchSpace, kept: Sequence[Choice]) -> Iterator[Supernet]:
        """Insert every candidate of a space, and what is kept."""
        gates = PricedGates(space)  # with numbers: architectures are drawn from them
        with self.mode:
            supernet = Supernet(self.backbone, space, gates, kept)
        try:
            yield supernet
        finally:
            supernet.remove()

    def sampled(
        self, supernet: Supernet, choices: Tensor, shape: Shape, probed: float | None
    ) -> Kept:
        """Count a pass of a supernet.

        Args:
            supernet: What :meth:`searched` gave.
            choices: Hard choices (S, G, C).
            shape: The rows.
            probed: Share of what is off that runs too, for a step of the gates; ``None``: a step
                of the weights.
        """
        on = [bool(bank.chosen(choices).any()) for bank in supernet.banks]
        with self._running():
            _switch(supernet.banks, on, shape.rows if len(choices) > 1 else 1, probed)
            return self._pass(shape)

    def _pass(self, shape: Shape) -> Kept:
        model = self.backbone.model
        with counting(model) as kept, torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            sample_loss(model, shape)
        return kept

    @contextmanager
    def _running(self) -> Iterator[None]:
        log = logging.getLogger("torch._subclasses.fake_tensor")
        level = log.level
        log.setLevel(logging.CRITICAL)  # what cannot be counted is said once, by the plan
        try:
            with ExitStack() as modes:
                modes.enter_context(self.mode)
                modes.enter_context(_Experts())
                if self.accelerator:
                    modes.enter_context(_Accelerated())
                yield
        finally:
            log.setLevel(level)


def sample_loss(model: nn.Module, shape: Shape) -> Tensor:
    """Run the model and a mean cross-entropy in float32, as the formats do."""
    known = inspect.signature(type(model).forward).parameters
    config: Any = model.config
    batch = _rows(model, shape)
    if config.is_encoder_decoder and "decoder_input_ids" in known:
        batch["decoder_input_ids"] = torch.ones(shape.rows, shape.targets, dtype=torch.int64)
    if "use_cache" in known:
        batch["use_cache"] = False
    output = model(**batch)
    names = ("logits", "start_logits", "logits_per_image")
    scores = next(output[name] for name in names if name in output)
    flat = scores.float().flatten(0, -2)
    return functional.cross_entropy(flat, flat.new_zeros(len(flat), dtype=torch.int64))


def read_at_once(model: nn.Module, shape: Shape) -> str:
    """Return what a model reads at once, e.g. ``32 texts of 128 tokens``."""
    with torch.device("meta"):
        read = _rows(model, shape)
    found = []
    if "input_features" in read:
        found.append(("sound", f"{read['input_features'].shape[-1]:,} frames"))
    if "pixel_values" in read:
        height, width = read["pixel_values"].shape[-2:]
        found.append(("image", f"{height} x {width} pixels"))
    if "input_ids" in read:
        found.append(("text", f"{read['input_ids'].shape[1]:,} tokens"))
    plural = "s" * (shape.rows != 1)
    return f"{shape.rows:,} " + " and ".join(f"{kind}{plural} of {long}" for kind, long in found)


def _rows(model: Any, shape: Shape) -> dict[str, Any]:
    """Return what a model reads: texts, images, both, or sounds."""
    config, batch = model.config, dict[str, Any]()
    if model.main_input_name == "input_features":
        frames = 2 * config.max_source_positions
        return {"input_features": torch.ones(shape.rows, config.num_mel_bins, frames)}
    seen = getattr(config, "vision_config", config)
    if hasattr(config, "vision_config") or model.main_input_name == "pixel_values":
        size = seen.image_size
        sides = (size, size) if isinstance(size, int) else size
        batch["pixel_values"] = torch.ones(shape.rows, seen.num_channels, *sides)
    if "input_ids" in inspect.signature(type(model).forward).parameters:
        tokens = min(shape.tokens, position_limit(getattr(config, "text_config", config)))
        ids = torch.ones(shape.rows, tokens, dtype=torch.int64)
        mask = torch.ones_like(ids)
        mask[0, -1] = 0  # rows differ in length, or attention would need no mask
        batch |= {"input_ids": ids, "attention_mask": mask}
    return batch


def _switch(banks: Sequence[Bank], on: Sequence[bool], rows: int, probed: float | None) -> None:
    """Do as ``Supernet.set`` does, with masks (rows, 1, size) that hold no numbers."""
    off = [i for i, active in enumerate(on) if not active]
    extra = {off[i] for i in _spread(len(off), probed or 0.0)}
    for i, bank in enumerate(banks):
        runs = on[i] or i in extra
        mask = torch.ones(rows, 1, bank.reach.shape[1], requires_grad=probed is not None)
        for layer in bank.insertion.layers.values():
            layer.active = runs
            layer.mask = mask if runs else None


def _spread(count: int, share: float) -> list[int]:
    """Return places for a share of so many, evenly apart."""
    number = min(count, -int(-share * count // 1))
    return [i * count // number for i in range(number)] if number else []


@contextmanager
def _lowest(model: nn.Module, count: int) -> Iterator[None]:
    """Leave only the lowest layers of each stack in a model, for as long as this lasts."""
    cut = []
    for module in list(model.modules()):
        for name, stack in list(module.named_children()):
            if isinstance(stack, nn.ModuleList) and isinstance(
                next(iter(stack), None), GradientCheckpointingLayer
            ):
                cut.append((module, name, stack))
                setattr(module, name, stack[:count])
    try:
        yield
    finally:
        for module, name, stack in cut:
            setattr(module, name, stack)


class _Experts(TorchFunctionMode):
    """Products of experts, whose shapes PyTorch knows in bfloat16 alone and computes in others."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Let the first expert have every row: as large, and as much is kept."""
        if func is torch._grouped_mm:
            rows, experts = args
            return rows @ experts[0]
        return func(*args, **(kwargs or {}))


class _Accelerated(TorchFunctionMode):
    """Dropout and attention as GPUs have them."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Put the kernels of a GPU in the place of those of the CPU."""
        given = dict(kwargs or {})
        if func is functional.dropout:
            return _dropout(*args, **given)
        if func is functional.scaled_dot_product_attention:
            given["dropout_p"] = 0.0  # the fused kernels draw it again
        return func(*args, **given)


def _dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    return torch.native_dropout(x, p, True)[0] if training and p > 0 else x
