"""How temperature and exploration change over the search."""

from __future__ import annotations

from dataclasses import dataclass

from peftsearch.config import SearchConfig


@dataclass(frozen=True)
class Point:
    """The schedules at one step.

    Attributes:
        warming_up: The gates are still frozen and sampling is uniform.
        temperature: Of the Gumbel relaxation, > 0.
        exploration: Share of uniform sampling in [0, 1].
    """

    warming_up: bool
    temperature: float
    exploration: float


def at(step: int, config: SearchConfig) -> Point:
    """Return the schedules at a step.

    Warm-up samples uniformly near the budget, so that weights are trained where architectures
    will be chosen; then temperature falls geometrically and exploration linearly.
    """
    warmup = round(config.steps * config.warmup_fraction)
    done = max(0, step - warmup + 1) / max(1, config.steps - warmup)
    ratio = config.temperature_end / config.temperature_start
    return Point(
        warming_up=step < warmup,
        temperature=config.temperature_start * ratio**done,
        exploration=1.0 if step < warmup else 1.0 + (config.exploration_end - 1.0) * done,
    )
