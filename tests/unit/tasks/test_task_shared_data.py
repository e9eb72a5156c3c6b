"""Real GLUE and SuperGLUE files, where a folder of them is at hand (see ``PEFTSEARCH_SHARED``)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from peftsearch.tasks import Wishes, get, load, split

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
        ("cb", 250, 56),
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
    assert abs(len(found.selection) - max(train // 10, min(200, train // 4))) <= 1
    texts = [{data.task.shape.text(row) for row in part} for part in parts]
    assert not (texts[0] & texts[1]) | (texts[0] & texts[2]) | (texts[1] & texts[2])


def test_boolq_files() -> None:
    """A part of it, with answers as true and false."""
    folder = DATA / "boolq_devsplit"
    if not folder.is_dir():
        pytest.skip("no folder data/boolq_devsplit beside the repository")
    data = load(get("boolq"), folder)
    assert (len(data.train), len(data.test)) == (2616, 654)
    assert data.counts is not None
    assert sum(data.counts.labels["train"].values()) == 2616


def test_trec_by_its_kind() -> None:
    """Six labels, and a column that is none of the texts."""
    folder = DATA / "trec"
    if not folder.is_dir():
        pytest.skip("no folder data/trec beside the repository")
    task = get("classification", Wishes(text_columns=("text",), label_column="coarse"), folder)
    data = load(task, folder)
    assert task.labels == ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
    assert (len(data.train), len(data.test)) == (5452, 500)
    assert data.counts is not None
    assert any("ABBR" in notice for notice in data.counts.notices)
