"""What exports that start a training elsewhere share: an adapter to resume from, and YAML.

A trainer that can resume from a PEFT adapter can train a found architecture: the adapter's own
config says which module has which rank. So the start is a ``peft`` export of fresh weights, which
leave the backbone's output as it is, and a file of the trainer's own that points to it. Every key
of that file is explained in a comment.
"""

from __future__ import annotations

import subprocess
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from peftsearch.architecture import Architecture
from peftsearch.backbones.base import Backbone
from peftsearch.backbones.loading import source_of
from peftsearch.catalogue import method_facts
from peftsearch.errors import ExportError, MissingError, paste
from peftsearch.export.base import Bundle, Evidence, Problem, exporter, logits_of, untrained
from peftsearch.export.snippets import is_decoder

#: Folder of the untrained adapter, the rows that a user puts beside it, and the result.
ADAPTER, ROWS, TRAINED = "adapter", "train.jsonl", "trained"
_LONGEST_CHECK = 600  # seconds; the large trainers import slowly


class Setting(NamedTuple):
    """One key of a trainer's file, its value, and what it is for."""

    key: str
    value: Any
    why: str


def problems_of_decoders(
    architecture: Architecture, backbone: Backbone, trainer: str
) -> list[Problem]:
    """Return what PEFT cannot hold, and a model that is not a causal language model."""
    found = exporter("peft").problems(architecture, backbone)
    if not is_decoder(backbone.model):
        reason = f"{trainer} trains causal language models, and this model is none"
        found.append(Problem("head", "head", reason))
    return found


def write_start(bundle: Bundle, folder: Path) -> None:
    """Write the adapter, with fresh weights whatever the bundle holds."""
    exporter("peft").write(_fresh(bundle), folder / ADAPTER)


def verify_start(bundle: Bundle, folder: Path, notes: dict[str, Any]) -> Evidence:
    """Load the adapter with PEFT: the plain backbone's logits, all that is chosen trainable."""
    found = exporter("peft").verify(_fresh(bundle), folder / ADAPTER)
    plain = logits_of(bundle.backbone.model, bundle.check_inputs)
    notes = {"weights": "untrained: a training starts here", **found.notes, **notes}
    return Evidence(found.logits, found.entries, notes, plain)


def _fresh(bundle: Bundle) -> Bundle:
    if not bundle.trained:
        return bundle
    return untrained(bundle.architecture, bundle.backbone, bundle.check_inputs)


def start_lines(bundle: Bundle, folder: Path, *command: str) -> list[str]:
    """Return the command that starts the training, and the lines that load its start."""
    typed = f"# {paste('cd', folder)} && {paste(*command)}"
    return [typed, *exporter("peft").snippet(bundle, folder / ADAPTER)]


def base_model(bundle: Bundle) -> str:
    """Return the Hub id of the backbone, or its folder, which a trainer may look for elsewhere."""
    source = source_of(bundle.architecture.model)
    return str(Path(source).resolve()) if Path(source).is_dir() else source


def learning_rate(architecture: Architecture) -> float:
    """Return the lowest of the methods' own rates, since trainers have one for all."""
    return min(method_facts()[method].learning_rate for method in architecture.methods)


def recipe(bundle: Bundle) -> list[Setting]:
    """Return how to train, in the names of transformers, close to how peftsearch retrains."""
    why = "peftsearch's own; where methods differ, the lowest."
    return [
        Setting("per_device_train_batch_size", 8, "Rows a step on one device ..."),
        Setting("gradient_accumulation_steps", 4, "... times this: 32, as peftsearch retrains."),
        Setting("num_train_epochs", 3.0, "Times through the rows."),
        Setting("optim", "adamw_torch", "As peftsearch retrains."),
        Setting("learning_rate", learning_rate(bundle.architecture), why),
        Setting("lr_scheduler_type", "linear", "Falls to zero, after ..."),
        Setting("warmup_steps", 0.06, "... a rise over this share of the steps."),
        Setting("weight_decay", 0.0, "None, as peftsearch retrains."),
        Setting("bf16", False, "true halves the memory where the device has it."),
        Setting("logging_steps", 10, "Steps between two lines of the log."),
        Setting("report_to", "none", "No service is told of the training."),
        Setting("seed", 0, "Order of the rows."),
        Setting("output_dir", TRAINED, "Where the trained adapter goes, for PEFT."),
    ]


def write_settings(path: Path, command: str, settings: Iterable[Setting]) -> None:
    """Write the trainer's file, which says on top how to start and what rows it wants.

    Args:
        path: The file.
        command: What reads it; the file's name follows.
        settings: Its keys.
    """
    head = (
        f"Trains the architecture that peftsearch found. In this folder: {command} {path.name}. "
        f"The rows are yours: {ROWS}, a JSON object a line with prompt and completion."
    )
    path.write_text(explained(head, settings), encoding="utf-8")


def explained(head: str, settings: Iterable[Setting]) -> str:
    """Return YAML with a comment above each key."""
    pieces = [_comment(head)]
    for key, value, why in settings:
        written = yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=1000)
        pieces.append(_comment(why) + written)
    return "\n".join(pieces)


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in textwrap.wrap(text, 90))


def accepted(bundle: Bundle, folder: Path, package: str, code: str) -> str:
    """Let a trainer read its file with its own classes, in its own interpreter.

    Args:
        bundle: Says which interpreter that is.
        folder: Where the code is run.
        package: What the interpreter must have.
        code: Python that reads the file, raises if it is not right, and prints a version.

    Returns:
        What was done, for ``check.json``.

    Raises:
        MissingError: The interpreter does not have the trainer.
        ExportError: The trainer does not accept its file.
    """
    if bundle.python is None:
        return f"not read by {package}; give its interpreter with --target-python"
    done = subprocess.run(
        [str(bundle.python.absolute()), "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_LONGEST_CHECK,
    )
    said = (done.stdout.strip() or done.stderr.strip()).splitlines() or ["nothing"]
    if done.returncode == 0:
        return f"accepted by {package} {said[-1]}"
    error = (done.stderr.strip().splitlines() or said)[-1]
    if f"No module named '{package}'" in error:
        hint = paste(bundle.python, "-m", "pip", "install", package)
        raise MissingError(f"{bundle.python} does not have {package}.", hint)
    raise ExportError(f"{package} does not accept what was written for it: {error}")
