"""Real GLUE files, where a folder of them is at hand (see ``PEFTSEARCH_SHARED``)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from peftsearch.tasks import get, load, split

SIBLING = Path(__file__).resolve().parents[3].parent / "shared"
DATA = Path(os.environ.get("PEFTSEARCH_SHARED", SIBLING)) / "data"


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("rte", 2490, 277),
        ("mrpc", 3668, 408),
        ("cola", 8551, 1043),
        ("sst2", 20000, 872),
        ("stsb", 5749, 1500),
    ],
)
def test_glue_files(name: str, train: int, test: int) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"no folder data/{name} beside the repository or under PEFTSEARCH_SHARED")
    data = load(get(name), DATA / name)
    assert (len(data.train), len(data.test)) == (train, test)
    found = split(data)
    parts = [found.search_train, found.search_valid, found.selection]
    assert sum(map(len, parts)) == train
    assert abs(len(found.selection) - train // 10) <= 1
    texts = [{data.task.shape.text(row) for row in part} for part in parts]
    assert not (texts[0] & texts[1]) | (texts[0] & texts[2]) | (texts[1] & texts[2])
