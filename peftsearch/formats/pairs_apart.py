"""What happens to pairs that are compared within a batch where the batch is cut into parts."""

from __future__ import annotations

from peftsearch.config import RunConfig
from peftsearch.tasks.base import Task


def pairs_apart(task: Task, config: RunConfig) -> list[str]:
    """Say that rows of different parts of a batch do not meet, where that changes the loss.

    Args:
        task: The task.
        config: The configuration: parts of a batch, and devices.
    """
    parts = config.accumulation * config.devices
    if task.kind != "image-text-retrieval" or parts == 1:
        return []
    return [
        f"Each batch is computed in {parts} parts (accumulation {config.accumulation}, devices "
        f"{config.devices}), and an image meets the texts of its own part alone: the loss tells "
        "fewer wrong pairs apart than that of the whole batch. For that one: "
        "--set accumulation=1 --devices 1."
    ]
