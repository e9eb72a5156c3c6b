"""What the norms of transformers models have in common, and what their attributes are called."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


def epsilon(norm: nn.Module) -> float:
    """Return what a norm adds to the mean square, or to the variance."""
    there: Any = norm
    return float(there.variance_epsilon if hasattr(there, "variance_epsilon") else there.eps)


def scale(norm: nn.Module) -> Tensor:
    """Return what a norm multiplies by, (D,); Gemma stores the difference from one."""
    weight = norm.get_parameter("weight")
    return 1 + weight if type(norm).__name__.startswith("Gemma") else weight
