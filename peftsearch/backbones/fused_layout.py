"""How the outputs of one map for queries, keys and values are laid out, as the code parts them.

Most models compute all queries, then all keys, then all values. GPT-NeoX and its kin put the query,
key and value of one head side by side, and head behind head.
"""

from __future__ import annotations

import inspect
import re

from torch import nn

#: The outputs are viewed as heads first, and each head is then cut in three.
_HEADS = re.compile(r"heads, 3( \*|,)|-1, 3 \* self\.head")
_PARTS = re.compile(r"\.chunk\(3|\.split\(|, 3, ")


def fused_layout(core: nn.Module) -> str:
    """Return ``parts`` or ``heads`` for an attention module; ``""`` if its code does not tell."""
    try:
        source = inspect.getsource(type(core))
    except (OSError, TypeError):  # made at run time: there is no code to be read
        return ""
    if _HEADS.search(source):
        return "heads"
    return "parts" if _PARTS.search(source) else ""
