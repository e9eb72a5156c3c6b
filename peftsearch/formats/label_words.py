"""The words that stand for labels in formats that write their answers, and their tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from peftsearch.errors import ConfigError
from peftsearch.tasks.base import Task

T5_NUMBERS = tuple(f"{tenths / 10:.1f}" for tenths in range(0, 51, 2))


def words_of(task: Task) -> tuple[str, ...]:
    """Return the word of each label; for regression the numbers that may be answered."""
    return task.label_words or (T5_NUMBERS if task.kind == "regression" else task.labels)


def tokenised(
    task: Task, words: Sequence[str], tokenise: Callable[[str], list[int]]
) -> list[list[int]]:
    """Return the tokens of each word.

    Raises:
        ConfigError: Two words have the same tokens, so that nothing could tell them apart.
    """
    targets: list[list[int]] = []
    seen: dict[tuple[int, ...], str] = {}
    for word in words:
        ids = tokenise(word)
        other = seen.setdefault(tuple(ids), word)
        if other != word:
            raise ConfigError(
                f'the label words "{other}" and "{word}" of task "{task.name}" have '
                "the same tokens for this model.",
                "Give other label_words in a task file.",
            )
        targets.append(ids)
    return targets


def nearest_number(task: Task, numbers: Sequence[float], label: float) -> int:
    """Return which of the numbers that may be answered is nearest to a label.

    Raises:
        ConfigError: The label lies outside of them.
    """
    low, high = min(numbers), max(numbers)
    if not low <= label <= high:
        raise ConfigError(
            f'the label {label:g} of task "{task.name}" lies outside the answers '
            f"{low:g} to {high:g}.",
            "Give the numbers to answer as label_words in a task file.",
        )
    return min(range(len(numbers)), key=lambda i: abs(numbers[i] - label))
