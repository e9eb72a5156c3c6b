"""The memory of a run, term by term, from the model's config alone.

    step = frozen weights + what is trained, its gradients and Adam's two moments + gates
           + what autograd keeps of the rows at once + the gradient of the logits

The first terms are counted from shapes. The last but one is counted on a sketch, which runs the
step without numbers. docs/memory.md has the same as a formula for a decoder's layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar

import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
)

from peftsearch.architecture import Choice
from peftsearch.backbones.base import Backbone
from peftsearch.backbones.checkpointing import require_checkpointing
from peftsearch.backbones.loading import sketch_backbone
from peftsearch.config import RunConfig
from peftsearch.formats.label_words import words_of
from peftsearch.memory.frozen import frozen_bytes
from peftsearch.memory.kept import Kept
from peftsearch.memory.sketch import Shape, Sketch, read_at_once
from peftsearch.metering.flops import lora_everywhere
from peftsearch.seeds import derive
from peftsearch.session import seed_torch
from peftsearch.space import SearchSpace
from peftsearch.tasks.base import Task

#: Bytes of what is trained, and as many of its gradient and of each of Adam's moments.
_FULL = 4
#: Bytes of an alpha, its gradient and its two moments, in float64.
_GATE = 4 * 8
#: Tokens of a label word with its end.
_LABEL_TOKENS = 4
#: How fake tensors say that an operator cannot run without numbers.
_NEEDS_NUMBERS = (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
)
Terms = dict[str, int]
T = TypeVar("T")


@dataclass(frozen=True)
class Asked:
    """What is planned for.

    Attributes:
        config: The configuration.
        task: Its task.
        outputs: Outputs of the head, 0 for none.
        head: What the head answers for.
        space: The candidates that fit the budget.
        limit: Parameters that the search may spend.
        kept: What is decided before the search.
        uniform: Choices of the uniform baselines by name.
    """

    config: RunConfig
    task: Task
    outputs: int
    head: str
    space: SearchSpace
    limit: int
    kept: Sequence[Choice]
    uniform: Mapping[str, Sequence[Choice]]

    @property
    def accelerator(self) -> bool:
        """Whether the run is for a GPU."""
        device = self.config.device
        return device != "cpu" and (device != "auto" or torch.cuda.is_available())

    def sketch(self) -> Sketch:
        """Return the backbone without numbers."""
        c = self.config
        make: Callable[[], Backbone] = partial(
            sketch_backbone,
            c.model,
            self.outputs,
            head=self.head,
            description=c.backbone,
            device="cpu",
            precision=c.precision,
            dropout=c.dropout,
        )
        return Sketch(make, c.precision == "bf16", self.accelerator)

    def shape(self, batch: int) -> Shape:
        """Return the rows of a batch that go through the model at once."""
        written = self.task.kind in ("generation", "extraction")
        words = _LABEL_TOKENS if words_of(self.task) else 1
        rows = math.ceil(batch / self.config.accumulation)
        targets = self.task.max_target_length if written else words
        return Shape(rows, self.task.max_length, targets)


def planned_memory(asked: Asked, backbone: Backbone) -> dict[str, Any]:
    """Return the terms, in bytes, of a step of the search and of one of a retraining.

    Args:
        asked: What is planned for.
        backbone: The backbone on the meta device.

    Raises:
        ConfigError: Checkpointing is asked for, and the model has none.
    """
    if asked.config.gradient_checkpointing:
        require_checkpointing(backbone.model)
    config, passes = asked.config, _Passes(asked)
    frozen = frozen_bytes(backbone.model, config.precision, config.load_in)
    head = backbone.num_head_parameters
    stages: dict[str, dict[str, Any]] = {}
    if config.architecture is None:
        terms = _trained(_searched_parameters(asked) + head)
        terms["gates"] = _GATE * asked.space.num_candidates
        shape = asked.shape(config.search.batch_size)
        stages["search"] = _stage(frozen, terms, passes.searched, shape, backbone, config)
    terms = _trained(asked.limit + sum(choice.num_params for choice in asked.kept) + head)
    shape = asked.shape(config.retrain.batch_size)
    stages["retrain"] = _stage(frozen, terms, passes.retrained, shape, backbone, config)
    largest = max(stages.values(), key=lambda stage: stage["total"] or 0)
    trained = ("trained_weights", "gradients", "optimiser")
    return {
        "frozen_weights": frozen,
        "trained_weights_and_optimiser": sum(largest[name] for name in trained),
        "activations": largest["activations"],
        "total": largest["total"],
        "stages": stages,
        "note": _note(asked, backbone, largest),
    }


def _searched_parameters(asked: Asked) -> int:
    """Count what is trained in a supernet: of candidates that share tensors the largest."""
    banks: dict[tuple[int, str, tuple[str, ...]], int] = {}
    for number, gate in enumerate(asked.space.gates):
        for each in gate.candidates:
            key = (number, each.method, each.modules)
            banks[key] = max(banks.get(key, 0), each.num_params)
    return sum(banks.values()) + sum(choice.num_params for choice in asked.kept)


def _trained(parameters: int) -> Terms:
    return {
        "trained_weights": _FULL * parameters,
        "gradients": _FULL * parameters,
        "optimiser": 2 * _FULL * parameters,
    }


def _stage(
    frozen: int,
    terms: Terms,
    kept: Kept | None,
    shape: Shape,
    backbone: Backbone,
    config: RunConfig,
) -> dict[str, Any]:
    """Return the terms of a step and their sum; ``None`` for what cannot be counted."""
    activations = total = None
    logits = _gradient_of_logits(backbone, shape, config.precision)
    if kept is not None:
        activations = kept.checkpointed if config.gradient_checkpointing else kept.total
        total = frozen + sum(terms.values()) + activations + logits
    return {
        "rows_at_once": shape.rows,
        "frozen_weights": frozen,
        **terms,
        "activations": activations,
        "gradient_of_logits": logits,
        "total": total,
    }


def _gradient_of_logits(backbone: Backbone, shape: Shape, precision: str) -> int:
    """Return the bytes of the gradient of the logits, in float32 and once more in bfloat16."""
    output = backbone.model.get_output_embeddings()
    if output is None:
        return 0
    written = backbone.model.config.is_encoder_decoder
    tokens = shape.rows * (shape.targets if written else shape.tokens)
    return tokens * int(output.weight.shape[0]) * (_FULL + (2 if precision == "bf16" else 0))


class _Passes:
    """What autograd keeps of each stage's step; ``None`` where that cannot be counted.

    It cannot for models that look at values to know shapes.
    """

    def __init__(self, asked: Asked) -> None:
        self.asked = asked

    @cached_property
    def sketch(self) -> Sketch | None:
        """The backbone without numbers."""
        return _or_none(self.asked.sketch)

    @cached_property
    def retrained(self) -> Kept | None:
        """Of the uniform baselines the one that keeps most."""
        sketch, shape = self.sketch, self.asked.shape(self.asked.config.retrain.batch_size)
        if sketch is None:
            return None
        uniform = [*self.asked.uniform.values()] or [lora_everywhere(sketch.backbone.sites)]
        tried = [[*self.asked.kept, *choices] for choices in uniform]
        return _or_none(partial(sketch.heaviest, tried, shape))

    @cached_property
    def searched(self) -> Kept | None:
        """Of a step of the gates: it runs what was sampled, and what is probed besides."""
        return None if self.sketch is None else _or_none(partial(self._searched, self.sketch))

    def _searched(self, sketch: Sketch) -> Kept:
        asked, config = self.asked, self.asked.config.search
        shape = asked.shape(config.batch_size)
        count = 1 if sketch.backbone.rows_alike else config.architectures_per_batch
        with sketch.searched(asked.space, asked.kept) as supernet:
            seed_torch(derive(asked.config.seed, "plan"))
            with torch.no_grad():
                drawn = supernet.gates.draw(count, config.temperature_start, 1.0, asked.limit)
            return sketch.sampled(supernet, drawn, shape, config.probed_fraction)


def _or_none(count: Callable[[], T]) -> T | None:
    try:
        return count()
    except _NEEDS_NUMBERS:
        return None


def _note(asked: Asked, backbone: Backbone, largest: Mapping[str, Any]) -> str:
    """Say what the figures are of, and what is not in them."""
    if largest["total"] is None:
        return "what autograd keeps of this model cannot be counted without its weights"
    kept = "inputs of layers and one layer" if asked.config.gradient_checkpointing else "all layers"
    read = read_at_once(backbone.model, Shape(largest["rows_at_once"], asked.task.max_length))
    return (
        f"{read} at once, as on {'a GPU' if asked.accelerator else 'the CPU'}; activations of "
        f"{kept}; without what the allocator and the kernels take for themselves"
    )
