"""Loads exports with the adapters library, in the interpreter that has it.

A script of its own: run by its path, it imports nothing of peftsearch. Its one argument is a
folder with ``jobs.json``, a list of ``{"model", "cls", "export", "inputs"}``; it writes
``seen.json`` and ``logits-N.safetensors`` beside it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import adapters
import torch
import transformers
from safetensors.torch import load_file, save_file


def _loaded(job: dict[str, str]) -> Any:
    """Return a fresh backbone with the export on it, as a user would load it."""
    model = getattr(transformers, job["cls"]).from_pretrained(job["model"])
    adapters.init(model)
    model.load_adapter_setup(job["export"], set_active=True)
    return model.eval()


def _trained(model: Any) -> dict[str, int]:
    """Count what that library would train in each adapter; ``""`` is outside of any."""
    names = model.active_adapters.flatten()
    model.train_adapter(model.active_adapters)
    counts = dict.fromkeys([*names, ""], 0)
    for path, parameter in model.base_model.named_parameters():
        if parameter.requires_grad:
            owner = next((name for name in names if f".{name}." in f".{path}."), "")
            counts[owner] += parameter.numel()
    return counts


@torch.no_grad()
def _look(job: dict[str, str], logits: Path) -> dict[str, Any]:
    """Load one export, write its logits, and return what it trains, or why it cannot be."""
    try:
        model = _loaded(job)
        output = model(**load_file(job["inputs"])).logits
        save_file({"logits": output.float().contiguous()}, logits)
        return {"trained": _trained(model)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main(folder: Path) -> None:
    """Work through the jobs of a folder."""
    jobs = json.loads((folder / "jobs.json").read_text(encoding="utf-8"))
    looks = [_look(job, folder / f"logits-{n}.safetensors") for n, job in enumerate(jobs)]
    versions = {each.__name__: each.__version__ for each in (adapters, transformers, torch)}
    seen = {"versions": versions, "looks": looks}
    (folder / "seen.json").write_text(json.dumps(seen), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
