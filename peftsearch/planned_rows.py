"""What ``plan`` says of the rows: how many there are where, what is seen in them, their lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peftsearch import tasks
from peftsearch.backbones.base import Backbone
from peftsearch.backbones.loading import load_reader
from peftsearch.config import RunConfig
from peftsearch.errors import MissingError
from peftsearch.formats import head_of, make_format
from peftsearch.tasks.base import Hub, Task, TaskData
from peftsearch.workspace import find_task, wanted_format


def planned_task(config: RunConfig) -> Task:
    """Find the task of a run that has no directory yet."""
    return find_task(config, _folder(config))


def _folder(config: RunConfig) -> Path | None:
    return None if config.data is None else Path(config.data)


def planned_rows(
    config: RunConfig, task: Task, backbone: Backbone
) -> tuple[dict[str, int | None], dict[str, Any] | None]:
    """Return the rows of each split and what is seen in them, where no download is needed."""
    names = ("search_train", "search_valid", "selection", "test")
    by_name = tasks.is_by_name(config.task)  # read already: its labels are in it
    if config.data is None and isinstance(task.source, Hub) and not by_name:
        return dict.fromkeys(names), None
    data = tasks.load(task, _folder(config), config.train_rows, config.test_rows, config.seed)
    splits = tasks.split(data, config.seed, config.selection_share)
    cut, notices = _lengths(config, data, backbone)
    assert data.counts is not None  # it was loaded
    notices = [*data.counts.notices, *splits.notices, *notices]
    rows = {**data.counts.to_json(), **cut, "notices": notices}
    return {name: len(getattr(splits, name)) for name in names}, rows


def _lengths(
    config: RunConfig, data: TaskData, backbone: Backbone
) -> tuple[dict[str, int | None], list[str]]:
    """Read the rows as the model does, and return how many are cut and the longest input.

    Both are ``None`` where what reads them is not at hand; the longest is where rows are no texts.
    """
    try:
        reader = load_reader(config.model, head_of(data.task))
    except (MissingError, OSError, ValueError):
        return {"cut": None, "longest": None}, []
    wanted = wanted_format(config, data.task)
    form = make_format(data.task, reader, backbone.model.config, wanted)
    rows = [*data.train, *data.test, *(row for rows in data.more_tests.values() for row in rows)]
    longest = max(feature.length for feature in form.features(rows)) or None
    notices = []
    if form.truncated:
        rows_are = "row is" if form.truncated == 1 else "rows are"
        notices.append(f"{form.truncated:,} {rows_are} cut to {form.max_length:,} tokens.")
    return {"cut": form.truncated, "longest": longest}, notices
