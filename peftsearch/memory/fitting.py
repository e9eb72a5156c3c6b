"""How many rows go through a model at once within a device's memory. Torch-free.

Frozen and trained weights are there whatever the rows are; what autograd keeps, and the gradient
of the logits, grow with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peftsearch.errors import ConfigError
from peftsearch.limits import size_in_bytes

#: Share of a device's memory that is planned with: the rest is for its context and fragments.
_USABLE = 0.9
_BY_ROWS = ("activations", "gradient_of_logits")


def device_bytes(text: str) -> int:
    """Read the memory of a device, e.g. ``24GB``, ``80GiB``.

    Raises:
        ConfigError: It is none.
    """
    found = size_in_bytes(text)
    if found is None:
        message = f'--device-memory "{text}" is not a size of a memory.'
        raise ConfigError(message, "Examples: 24GB (10^9), 80GiB (2^30), 16000M.")
    return found


def fits(memory: Mapping[str, Any], device: int, batches: Mapping[str, int]) -> dict[str, Any]:
    """Say for each stage how many rows at once fit a device, and what to type for that.

    Args:
        memory: ``memory_bytes`` of a plan.
        device: Bytes of the device.
        batches: Rows of a step by stage.

    Returns:
        By stage ``rows`` (``None`` where that is not known, 0 where not even one row fits),
        ``accumulation``, and a ``text``.
    """
    return {
        name: _fit(name, stage, device, batches[name]) for name, stage in memory["stages"].items()
    }


def _fit(name: str, stage: Mapping[str, Any], device: int, batch: int) -> dict[str, Any]:
    if stage["total"] is None:
        return {"rows": None, "accumulation": None, "text": f"{name}: what fits is not known"}
    by_rows = sum(stage[key] for key in _BY_ROWS)
    room = _USABLE * device - (stage["total"] - by_rows)
    rows = max(0, min(batch, int(room * stage["rows_at_once"] // max(1, by_rows))))
    if rows == 0:
        text = (
            f"{name}: not even one row fits; try --load-in 4bit, --gradient-checkpointing, or "
            "shorter inputs"
        )
        return {"rows": 0, "accumulation": None, "text": text}
    parts = -(-batch // rows)
    how = "at once" if parts == 1 else f"at once: --set accumulation={parts}"
    return {
        "rows": rows,
        "accumulation": parts,
        "text": f"{name}: {rows} of {batch} rows fit {how}",
    }
