"""What every stage that computes shares: configuration, device, events and the stop signal."""

from __future__ import annotations

import importlib.util
import os
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from peftsearch import ranks
from peftsearch.batches import Batches
from peftsearch.config import RunConfig
from peftsearch.errors import MissingError
from peftsearch.formats import Feature
from peftsearch.interrupt import Interrupt
from peftsearch.portions import FILE, Portions
from peftsearch.rundir import Events, RunDir


@dataclass
class Session:
    """One run in one process.

    Attributes:
        config: The resolved configuration.
        run: The run directory.
        events: The event log.
        interrupt: Asks the loops to save and stop.
        saved: To be called after a checkpoint has been written.
        accelerator: Device and precision.
        portions: How many rows go through the model at once.
    """

    config: RunConfig
    run: RunDir
    events: Events
    interrupt: Interrupt
    saved: Callable[[], None] = lambda: None
    accelerator: Accelerator = field(init=False)
    portions: Portions = field(init=False)

    def __post_init__(self) -> None:
        folder = self.run.file("track") if self.config.track and ranks.leads() else None
        self.accelerator = make_accelerator(self.config, folder)
        self.portions = Portions(
            self.run.file(FILE),
            lambda text: self.emit("memory", "note", text=text),
            self.config.accumulation,
            alone=not (self.config.shard and ranks.size() > 1),
        )

    def emit(self, stage: str, event: str, **fields: Any) -> None:
        """Write an event."""
        self.events.emit(stage, event, **fields)

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.accelerator.device  # type: ignore[no-any-return]

    def batches(self, rows: Sequence[Feature], size: int, seed: int) -> Batches:
        """Return the order of rows of which each step takes ``size``."""
        lengths = [row.length for row in rows] if self.config.group_by_length else None
        return Batches(len(rows), size, seed, lengths)

    def to_device(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Move a batch."""
        return {name: tensor.to(self.device) for name, tensor in batch.items()}


def make_accelerator(config: RunConfig, track: Path | None = None) -> Accelerator:
    """Return an Accelerator for the configured device and precision.

    Args:
        config: The resolved configuration.
        track: Folder of its trackers; ``None``: without them.

    Raises:
        MissingError: The device is not there.
    """
    device = config.device
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise MissingError(f'device "{device}" was asked for, and there is no CUDA device.')
    if device == "mps" and not torch.backends.mps.is_available():
        raise MissingError('device "mps" was asked for, and there is none.')
    if config.load_in is not None:
        require_bitsandbytes(config.load_in, device)
    index = int(device.partition(":")[2] or 0)
    if device.startswith("cuda") and index >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise MissingError(f'device "{device}" was asked for, and there are {count} of them.')
    # Accelerate keeps its state for the whole process; each run sets its own.
    AcceleratorState._reset_state(reset_partial_state=True)
    previous = os.environ.pop("ACCELERATE_TORCH_DEVICE", None)
    if device.startswith("cuda:"):
        os.environ["ACCELERATE_TORCH_DEVICE"] = device
    try:
        return Accelerator(
            cpu=device == "cpu",
            mixed_precision="bf16" if config.precision == "bf16" else "no",
            log_with=None if track is None else list(config.track),
            project_dir=track,
        )
    finally:
        os.environ.pop("ACCELERATE_TORCH_DEVICE", None)
        if previous is not None:
            os.environ["ACCELERATE_TORCH_DEVICE"] = previous


def require_bitsandbytes(load_in: str, device: str) -> None:
    """Refuse to quantise where that cannot be done.

    Raises:
        MissingError: There is no CUDA device, or bitsandbytes is not installed.
    """
    if device in ("cpu", "mps") or not torch.cuda.is_available():
        raise MissingError(
            f'load_in "{load_in}" needs a CUDA device, and device "{device}" has none.',
            "Leave it out; to save memory try --precision bf16 --gradient-checkpointing.",
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        message = f'load_in "{load_in}" needs bitsandbytes, which is not installed.'
        raise MissingError(message, "pip install 'peftsearch[quantise]'")


def seed_torch(seed: int) -> None:
    """Seed every generator that training draws from.

    Not ``torch.manual_seed``: without CUDA it also notes a stack trace at every call, which
    costs more than a training step of a small model may.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


def peak_bytes(device: torch.device) -> int:
    """Return the peak memory so far: of the CUDA device if it is one, else of the process.

    Of the device since :func:`forget_peak`; a process cannot forget, so there a stage is at
    least what the stages before it were.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_peak(device: torch.device) -> None:
    """Let :func:`peak_bytes` of a CUDA device start anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def finite(loss: Any) -> bool:
    """Whether a loss is a finite number."""
    return bool(torch.isfinite(torch.as_tensor(loss)).all())
