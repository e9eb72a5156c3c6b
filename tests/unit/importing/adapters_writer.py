"""Saves adapters with the adapters library itself, in the interpreter that has it.

A script of its own, run by its path with one argument: a folder with ``jobs.json``, a list of
``{"cls", "model", "config", "options", "folder"}``. It writes the folders, and ``counts.json``:
what that library trains in each.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import adapters
import transformers


def made(name: str, options: dict[str, Any]) -> Any:
    """Return a config of that library; a list of names makes a union."""
    if name == "ConfigUnion":
        return adapters.ConfigUnion(*(made(*each) for each in options["configs"]))
    return getattr(adapters, name)(**options)


def main(work: Path) -> None:
    """Save what is asked for, and count."""
    counts = []
    for job in json.loads((work / "jobs.json").read_text(encoding="utf-8")):
        model = getattr(transformers, job["cls"]).from_pretrained(job["model"])
        adapters.init(model)
        model.add_adapter("mine", config=made(job["config"], job["options"]))
        model.train_adapter("mine")
        named = model.base_model.named_parameters()
        counts.append(sum(p.numel() for _, p in named if p.requires_grad))
        model.save_adapter(job["folder"], "mine")
    (work / "counts.json").write_text(json.dumps(counts), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
