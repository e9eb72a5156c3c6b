"""A built-in tiny T5 and BERT and a tiny inference task: everything runs offline in seconds.

Place in the flow: the built-in models, the default one among them, and the default task. Reads
the packaged folders ``t5`` and ``bert``; writes nothing.
Importing this package, its task or its corpus never imports torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["MODEL_DIRS"]

_HERE = Path(__file__).resolve().parent

MODEL_DIRS: Final = {"micro-t5": _HERE / "t5", "micro-bert": _HERE / "bert"}
"""Per built-in model, the folder with config, weights and tokenizer.

Written by ``scripts/pretrain_micro_t5.py`` and ``scripts/pretrain_micro_bert.py``.
"""
