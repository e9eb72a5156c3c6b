"""Train one architecture from scratch: the loop behind race, retraining and baselines."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from peftsearch import checkpoint, ranks
from peftsearch.architecture import Architecture
from peftsearch.backbones.base import Backbone, head_parameters
from peftsearch.catalogue import method_facts
from peftsearch.config import RunConfig
from peftsearch.devices.reduce import sum_gradients
from peftsearch.devices.slices import slice_of
from peftsearch.errors import BudgetError, DivergedError
from peftsearch.formats import Feature, Format, mean_number
from peftsearch.injection import Insertion, insert_architecture, remove_all, state
from peftsearch.rundir import read_json
from peftsearch.seeds import derive
from peftsearch.session import Session, finite, seed_torch


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        name: Shown in progress, e.g. ``uniform-lora``.
        stage: Stage it belongs to.
        architecture: What to train.
        steps: Optimiser steps.
        seed: Root of its randomness: start of the weights, order of the rows, dropout.
        checkpoint: Where to keep the state while it runs.
        until: Pause after this many steps, with the state kept; ``None``: go to the end. The
            schedule is that of ``steps``, so pausing changes nothing.
    """

    name: str
    stage: str
    architecture: Architecture
    steps: int
    seed: int
    checkpoint: Path
    until: int | None = None

    @property
    def fingerprint(self) -> str:
        """What is trained: files that another training left behind do not carry it."""
        content = [self.architecture.to_json()["choices"], self.steps, self.seed]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    def finished(self, path: Path) -> dict[str, Any] | None:
        """Read the record that this very training left when it ended, if it did."""
        record = read_json(path) if path.is_file() else {}
        return record if record.get("fingerprint") == self.fingerprint else None


@dataclass
class Trained:
    """A finished training, its layers still on the backbone until its block ends.

    Attributes:
        insertions: The trained layers.
        final_loss: Mean training loss of the last tenth of the steps so far.
        seconds: Wall time of the loop, over interruptions.
    """

    backbone: Backbone
    insertions: list[Insertion]
    final_loss: float
    seconds: float

    @property
    def num_params(self) -> int:
        """Parameters trained beside the head, counted from the tensors."""
        return sum(insertion.num_params for insertion in self.insertions)

    def weights(self) -> dict[str, Tensor]:
        """Return the trained tensors by ``site/method/anchor/tensor``."""
        return state(self.insertions)

    def head(self) -> dict[str, Tensor]:
        """Return the head's tensors by name."""
        named = head_parameters(self.backbone.model)
        return {name: parameter.detach().cpu().contiguous() for name, parameter in named}

    def __enter__(self) -> Trained:
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Take the layers off, so that the next training finds a clean backbone."""
        remove_all(self.insertions)


def learning_rate(config: RunConfig, method: str) -> float:
    """Return a method's learning rate: the configured one, else its own default."""
    return config.learning_rates.get(method, method_facts()[method].learning_rate)


def divergence_hint(config: RunConfig, methods: Sequence[str]) -> str:
    """Return what to try: a third of the highest rate that trained."""
    if not methods:
        return "Start again with a lower rate, e.g. --set retrain.head_lr=3e-4."
    method = max(methods, key=lambda name: learning_rate(config, name))
    rate = learning_rate(config, method) / 3
    return f"Start again with a lower rate, e.g. --set learning_rates.{method}={rate:.0e}."


def parameter_groups(
    config: RunConfig, weights: Mapping[str, Sequence[nn.Parameter]], backbone: Backbone
) -> list[dict[str, Any]]:
    """Return AdamW groups: one per method at its own rate, and one for the head."""
    groups = [
        {"params": list(parameters), "base_lr": learning_rate(config, method)}
        for method, parameters in weights.items()
    ]
    head = [parameter for _, parameter in head_parameters(backbone.model)]
    if head:
        groups.append({"params": head, "base_lr": config.retrain.head_lr})
    return groups


def make_optimiser(config: RunConfig, groups: list[dict[str, Any]]) -> torch.optim.AdamW:
    """Return AdamW over the groups."""
    decay = config.retrain.weight_decay
    for group in groups:
        group["lr"] = group["base_lr"]
    return torch.optim.AdamW(groups, weight_decay=decay, fused=True)


def set_rates(optimiser: Any, factor: float) -> None:
    """Scale every group's rate by the schedule's factor."""
    for group in optimiser.param_groups:
        group["lr"] = group["base_lr"] * factor


def schedule(step: int, steps: int, warmup_fraction: float) -> float:
    """Return the factor of the learning rate in (0, 1]: linear rise, then linear decay to 0."""
    rise = max(1, round(steps * warmup_fraction))
    return min((step + 1) / rise, (steps - step) / max(1, steps - rise), 1.0)


def train(session: Session, backbone: Backbone, task_format: Format, features: Sequence[Feature],
          job: Job) -> Trained:  # fmt: skip
    """Insert an architecture, train it, and leave it on the backbone.

    Raises:
        BudgetError: The tensors exceed the limit; nothing was trained.
        DivergedError: The loss is not finite.
        StoppedError: The user asked to stop; the state is saved.
    """
    backbone.reset_head(derive(job.seed, "head"), mean_number(features))
    seed_torch(derive(job.seed, "start"))
    insertions = insert_architecture(backbone.hosts, job.architecture)
    used = sum(insertion.num_params for insertion in insertions)
    if used > job.architecture.limit:
        remove_all(insertions)
        raise BudgetError(f"{used:,} parameters exceed the budget {job.architecture.limit:,}.")
    try:
        loop = _Loop(session, backbone, insertions, job)
        loop.run(task_format, features)
    except BaseException:
        remove_all(insertions)
        raise
    return Trained(backbone, insertions, loop.final_loss, loop.seconds)


class _Loop:
    """The state of one training: what a checkpoint holds."""

    def __init__(
        self, session: Session, backbone: Backbone, insertions: list[Insertion], job: Job
    ) -> None:
        self.session, self.backbone, self.job = session, backbone, job
        # Not prepared by Accelerate: it would wrap forward in autocast for good, and the loops
        # ask for autocast themselves.
        self.model = backbone.model
        weights: dict[str, list[nn.Parameter]] = {}
        for insertion in insertions:
            group = weights.setdefault(insertion.choice.method, [])
            group.extend(parameter for _, parameter in insertion.tensors())
        groups = parameter_groups(session.config, weights, backbone)
        self.named = dict(t for insertion in insertions for t in insertion.tensors())
        self.named.update(head_parameters(backbone.model))
        # An empty architecture without a head has nothing to train: it is only scored.
        self.optimiser = make_optimiser(session.config, groups) if groups else None
        self.step, self.seconds, self.recent = 0, 0.0, 0.0
        if job.checkpoint.is_file():
            self._restore()  # unless it is of another training
        # Logged steps behind the checkpoint will run, and be logged, again.
        session.events.rewind(job.stage, self.step, name=job.name)

    @property
    def final_loss(self) -> float:
        """Mean loss of the last tenth of the steps of this leg."""
        return self.recent / self.tail

    @property
    def end(self) -> int:
        """Where this leg of the training ends."""
        until = self.job.until
        return self.job.steps if until is None else min(until, self.job.steps)

    @property
    def tail(self) -> int:
        """Steps whose loss counts: the last tenth."""
        return max(1, self.end // 10)

    def run(self, task_format: Format, features: Sequence[Feature]) -> None:
        """Run the remaining steps."""
        config, job = self.session.config, self.job
        end, tail = self.end, self.end - self.tail
        if self.step <= tail:
            self.recent = 0.0  # what is there is of the leg before
        seed = derive(job.seed, "order")
        order = self.session.batches(features, config.retrain.batch_size, seed)
        optimiser = self.session.accelerator.prepare(self.optimiser) if self.optimiser else None
        self.model.train()
        began = time.perf_counter()
        while self.step < end and optimiser is not None:
            set_rates(optimiser, schedule(self.step, job.steps, config.retrain.warmup_fraction))
            rows = [features[i] for i in order.indices(self.step)]
            loss = self._update(optimiser, task_format, rows)
            if self.step >= tail:
                self.recent += loss
            self.step += 1
            if self.step % config.search.log_every == 0 or self.step == end:
                self.session.emit(job.stage, "step", name=job.name, step=self.step,
                                  steps=job.steps, train_loss=loss)  # fmt: skip
            due = self.step % config.retrain.checkpoint_every == 0
            if (due and self.step < end) or self.session.interrupt.requested:
                self.seconds += time.perf_counter() - began
                began = time.perf_counter()
                self._save()
                self.session.interrupt.check(f"{job.stage} {job.name}, step {self.step:,}")
        self.seconds += time.perf_counter() - began
        if end < job.steps and self.optimiser is not None:
            self._save()
        self.session.accelerator.free_memory()

    def _update(self, optimiser: Any, task_format: Format, rows: Sequence[Feature]) -> float:
        accelerator = self.session.accelerator

        def passes(portions: Sequence[range]) -> float:
            seed_torch(own_seed(derive(self.job.seed, "step", self.step)))
            optimiser.zero_grad()
            total = 0.0
            for portion in portions:
                own = slice_of(rows, task_format.terms, portion)
                batch = self.session.to_device(task_format.collate(own.rows))
                with accelerator.autocast():
                    loss = own.weighted(task_format.loss(self.model, batch))
                    total += float(loss.detach())
                    accelerator.backward(loss)
            return total

        total = ranks.total(self.session.portions.whole(len(rows), passes))
        sum_gradients(self.named.values())
        optimiser.step()
        optimiser.zero_grad()
        if not finite(total):
            message = f"{self.job.name} diverged at step {self.step:,}: the loss is {total}."
            methods = self.job.architecture.methods
            raise DivergedError(message, divergence_hint(self.session.config, methods))
        return total

    def _save(self) -> None:
        tensors = dict(self.named)
        if self.optimiser is not None:
            tensors.update(checkpoint.optimiser_state(self.optimiser, self.named))  # type: ignore[arg-type]
        meta = {
            "fingerprint": self.job.fingerprint,
            "step": self.step,
            "seconds": self.seconds,
            "recent": self.recent,
        }
        checkpoint.save(self.job.checkpoint, tensors, meta)
        self.session.saved()

    def _restore(self) -> None:
        tensors, meta = checkpoint.load(self.job.checkpoint)
        if meta["fingerprint"] != self.job.fingerprint:
            return
        checkpoint.restore_weights(self.named, tensors)
        if self.optimiser is not None:
            checkpoint.restore_optimiser(self.optimiser, self.named, tensors)
        self.step, self.seconds, self.recent = meta["step"], meta["seconds"], meta["recent"]


def own_seed(seed: int) -> int:
    """Return the seed of what each process draws for itself: dropout of its own rows."""
    return derive(seed, "rank", ranks.rank()) if ranks.rank() else seed
