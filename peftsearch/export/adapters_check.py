"""Loads exports with the adapters library, in the interpreter that has it.

A script of its own: run by its path, it imports nothing of peftsearch. Its one argument is a
folder with ``jobs.json``, a list of ``{"cls", "model", "options", "export", "inputs", "logits"}``;
it writes the logits, and ``seen.json`` beside the jobs.
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


def _logits(model: Any, inputs: dict[str, Any]) -> Any:
    """Return the logits of a batch; those of begin and end as the last dimension.

    Of a model with two towers they are the scores of all pairs (images, texts).
    """
    output = model.eval()(**inputs)
    if "start_logits" in output:
        return torch.stack([output.start_logits, output.end_logits], dim=-1)
    return output.logits_per_image if "logits_per_image" in output else output.logits


@torch.no_grad()
def _look(job: dict[str, Any]) -> dict[str, Any]:
    """Load one export as a user would, write the logits before and after, count what it trains.

    Returns:
        The counts, or why that library cannot load it.
    """
    try:
        inputs = load_file(job["inputs"])
        model = getattr(transformers, job["cls"]).from_pretrained(job["model"], **job["options"])
        before = _logits(model, inputs)
        adapters.init(model)
        model.load_adapter_setup(job["export"], set_active=True)
        after = _logits(model, inputs)
        save_file({"before": before.contiguous(), "after": after.contiguous()}, job["logits"])
        return {"trained": _trained(model)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main(folder: Path) -> None:
    """Work through the jobs of a folder."""
    jobs = json.loads((folder / "jobs.json").read_text(encoding="utf-8"))
    looks = [_look(job) for job in jobs]
    versions = {each.__name__: each.__version__ for each in (adapters, transformers, torch)}
    seen = {"versions": versions, "looks": looks}
    (folder / "seen.json").write_text(json.dumps(seen), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
