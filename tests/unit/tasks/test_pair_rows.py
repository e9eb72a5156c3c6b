"""Rows of an image and its text: read, kept together, counted, and made a task of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from peftsearch.errors import ConfigError
from peftsearch.tasks import Task, Wishes, get, load, read_task, split
from peftsearch.tasks.writing import write_task
from tests.unit.tasks.test_image_rows import content

TASK = Task("captions", "", "image-text-retrieval", ("image", "text"), "text")


def captions(folder: Path, images: int = 12, each: int = 3, **more: Any) -> Path:
    """Write several texts for each image."""
    for number, part in enumerate(("train", "validation")):
        rows = []
        for i in range(images):
            name = f"{part}-{i}.png"
            (folder / name).write_bytes(content(100 * number + i))
            rows += [{"image": name, "text": f"{part} {i} said {k}", **more} for k in range(each)]
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_texts_of_one_image_are_never_divided(tmp_path: Path) -> None:
    data = load(TASK, captions(tmp_path))
    assert data.counts is not None
    assert data.counts.rows == {"train": 36, "validation": 36}
    assert data.counts.notices == ()
    parts = split(data)
    where = [
        {str(row["image"]) for row in part}
        for part in (parts.search_train, parts.search_valid, parts.selection)
    ]
    assert sum(map(len, where)) == 12
    assert data.train[4] == {"image": data.train[3]["image"], "text": "train 1 said 1"}


def test_bad_pairs_are_refused_with_their_rows(tmp_path: Path) -> None:
    captions(tmp_path)
    path = tmp_path / "train.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[1]["text"], rows[2]["image"] = " ", "gone.png"
    del rows[3]["text"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ConfigError) as caught:
        load(TASK, tmp_path)
    for words in ('line 2: "text" is empty', "gone.png", 'line 4: "text" is missing'):
        assert words in caught.value.message


def test_a_task_is_made_of_a_folder(tmp_path: Path) -> None:
    task = get("image-text-retrieval", Wishes(), captions(tmp_path))
    assert (task.columns, task.label_column) == (("image", "text"), "text")
    assert task.metrics[:2] == ("mean_recall", "image_to_text_recall_1")
    assert len(task.metrics) == 7
    assert len(load(task, tmp_path).test) == 36


def test_more_texts_than_one_column_are_asked_for(tmp_path: Path) -> None:
    captions(tmp_path, title="x")
    task = get("image-text-retrieval", Wishes(), tmp_path)  # the one that is called text
    assert task.columns == ("image", "text")
    wished = Wishes(text_columns=("image", "title"))
    assert get("image-text-retrieval", wished, tmp_path).columns == ("image", "title")
    with pytest.raises(ConfigError, match="reads two columns, not 1"):
        get("image-text-retrieval", Wishes(text_columns=("image",)), tmp_path)


def test_a_task_file_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "captions.yaml"
    path.write_text("kind: image-text-retrieval\ncolumns: [photo, caption]\n")
    task = read_task(path)
    assert (task.columns, task.label_column) == (("photo", "caption"), "caption")
    write_task(task, tmp_path / "again.yaml")
    assert read_task(tmp_path / "again.yaml") == task
    path.write_text("kind: image-text-retrieval\nlabel_column: text\nlabels: [a, b]\n")
    with pytest.raises(ConfigError) as caught:
        read_task(path)
    assert "label_column has no meaning" in caught.value.message
    assert "labels have no meaning" in caught.value.message
