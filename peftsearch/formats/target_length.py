"""Texts to write that are too long are refused, not cut.

A model would learn from a cut one to stop too early, and be scored against a text that it cannot
write.
"""

from __future__ import annotations

from collections.abc import Sequence

from peftsearch.errors import ConfigError
from peftsearch.tasks.base import Task


def require_length(
    task: Task, kind: str, texts: Sequence[str], targets: Sequence[Sequence[int]], most: int
) -> None:
    """Refuse texts of more tokens than a model may write.

    Args:
        task: The task.
        kind: What they are called, in the plural.
        texts: The texts.
        targets: Their tokens.
        most: The task's limit, or the model's if it is lower.

    Raises:
        ConfigError: Some are longer; names the longest.
    """
    lengths = [len(ids) for ids in targets]
    long = sum(length > most for length in lengths)
    if not long:
        return
    longest = max(lengths)
    raise ConfigError(
        f'{long:,} of {len(targets):,} {kind} of task "{task.name}" are longer than {most} tokens; '
        f'the longest, "{texts[lengths.index(longest)]:.40}", has {longest}.',
        "The model takes no more: leave these rows out."
        if most < task.max_target_length
        else f"Leave these rows out, or give max_target_length: {longest} in a task file.",
    )
