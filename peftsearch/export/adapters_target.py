"""Exports seen from the interpreter that has the adapters library, and from it alone."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from peftsearch.backbones.loading import source_of
from peftsearch.errors import MissingError
from peftsearch.export.adapters_groups import adapters_of
from peftsearch.export.base import (
    TOLERANCE,
    Bundle,
    Entry,
    Evidence,
    largest_difference,
    logits_of,
)

_SCRIPT = Path(__file__).with_name("adapters_check.py")
_HINT = "make adapters-env, and then --target-python .venv-adapters/bin/python"


def python_of(bundle: Bundle) -> Path:
    """Return the interpreter that has the adapters library.

    Raises:
        MissingError: None was given.
    """
    if bundle.python is None:
        raise MissingError(
            "An export to adapters is verified by that library in an interpreter of its own, "
            "since it does not run beside this transformers, and none was given.",
            _HINT,
        )
    return bundle.python


def loading_options(bundle: Bundle) -> dict[str, Any]:
    """Return how the backbone is loaded there: the labels of its head, and its attention.

    Some models that have eager attention alone by now had others there, which passed over their
    soft caps (Gemma 2).
    """
    model = bundle.backbone.model
    options: dict[str, Any] = {"num_labels": model.config.num_labels} if bundle.head else {}
    if model.config._attn_implementation == "eager":
        options["attn_implementation"] = "eager"
    return options


def look(exports: Sequence[tuple[Bundle, Path]]) -> list[Evidence | str]:
    """Load many exports in one start of the other interpreter, that of the first one.

    Args:
        exports: Bundles and the folders they were written to. Backbones are loaded there by the
            names in their architectures, as a user would.

    Returns:
        What was seen of each, or why it could not be.

    Raises:
        MissingError: No interpreter was given, or it does not have that library.
    """
    python = python_of(exports[0][0])
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        jobs = [_job(work, *export, number) for number, export in enumerate(exports)]
        (work / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
        _run(python, work)
        seen = json.loads((work / "seen.json").read_text(encoding="utf-8"))
        return [
            each.get("error") or _judged(bundle, each["trained"], Path(job["logits"]), seen)
            for (bundle, _), job, each in zip(exports, jobs, seen["looks"], strict=True)
        ]


def _job(work: Path, bundle: Bundle, folder: Path, number: int) -> dict[str, Any]:
    """Write the input, and return what the other interpreter is to do."""
    model, inputs = bundle.backbone.model, work / f"inputs-{number}.safetensors"
    save_file({name: t.contiguous() for name, t in bundle.check_inputs.items()}, inputs)
    return {
        "cls": type(model).__name__,
        "model": source_of(bundle.architecture.model),
        "options": loading_options(bundle),
        "export": str(folder.absolute()),
        "inputs": str(inputs),
        "logits": str(work / f"logits-{number}.safetensors"),
    }


def _run(python: Path, work: Path) -> None:
    # Isolated: this interpreter's PYTHONPATH would bring along the wrong transformers.
    command = [str(python), "-I", str(_SCRIPT), str(work)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise MissingError(f"{python} cannot load the adapters library: {said}.", _HINT)


def _judged(
    bundle: Bundle, trained: Mapping[str, int], logits: Path, seen: Mapping[str, Any]
) -> Evidence | str:
    """Return what was seen, or that the two versions of transformers differ by themselves."""
    found, versions = load_file(logits), seen["versions"]
    if not bundle.head:  # a fresh head is drawn anew there
        plain = logits_of(bundle.backbone.model, bundle.check_inputs)
        off = largest_difference(found["before"], plain)
        if off > TOLERANCE * max(1.0, float(plain.abs().max())):
            return (
                f"transformers {versions['transformers']} gives other logits for the backbone "
                f"{bundle.architecture.model} itself, off by {off:.1e}"
            )
    return Evidence({"load_adapter_setup": found["after"]}, _entries(bundle, trained), versions)


def _entries(bundle: Bundle, trained: Mapping[str, int]) -> tuple[Entry, ...]:
    """Compare the counts adapter by adapter; nothing outside of them may be trained."""
    wanted = {adapter.name: adapter.num_params for adapter in adapters_of(bundle)}
    entries = [Entry(name, wanted.get(name, 0), count) for name, count in trained.items() if name]
    if trained[""]:
        entries.append(Entry("outside of the adapters", 0, trained[""]))
    return tuple(entries)
