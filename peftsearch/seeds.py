"""One root seed, and a named child seed for every use of randomness.

Every step of every loop seeds torch with its own child seed, so a loop that is interrupted
and resumed at any step draws the same numbers as one that never stopped.
"""

from __future__ import annotations

import hashlib


def derive(root: int, *names: str | int) -> int:
    """Return the child seed in [0, 2**31) of ``root`` under a path of names, stable for ever."""
    text = "/".join([str(root), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % 2**31
