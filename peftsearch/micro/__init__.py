"""A built-in tiny T5 and a tiny inference task, so that everything runs offline in seconds.

Place in the flow: the default model and task. Reads the packaged folder ``t5``; writes nothing.
Importing this package, its task or its corpus never imports torch.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["MODEL_DIR"]

MODEL_DIR = Path(__file__).resolve().parent / "t5"
"""Folder with config, weights and tokenizer, as written by ``scripts/pretrain_micro_t5.py``."""
