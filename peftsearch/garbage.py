"""Keep Python's garbage collector off the libraries while a stage computes."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def frozen_heap() -> Iterator[None]:
    """Exempt from collection what exists now, until the block ends.

    torch and transformers are a million objects that never become garbage; walking them after
    every training, as Accelerate does to free memory, takes as long as many small steps.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
