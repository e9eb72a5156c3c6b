"""Rows with images: folders of classes, tables of paths or bytes, and everything wrong with one."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from PIL import Image

from peftsearch.errors import ConfigError, MissingError
from peftsearch.tasks import Task, TaskData, Wishes, get, load, read_task, split
from peftsearch.tasks.by_name import _described
from peftsearch.tasks.images import decoded, encoded
from peftsearch.tasks.media import Media

TASK = Task("pets", "", "image-classification", ("image",), labels=("cat", "dog"))


def picture(seed: int, mode: str = "RGB", size: int = 6) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def content(seed: int, kind: str = "PNG") -> bytes:
    target = io.BytesIO()
    picture(seed).save(target, format=kind)
    return target.getvalue()


def classes(folder: Path, train: int = 20, validation: int = 5) -> Path:
    for number, (name, count) in enumerate((("train", train), ("validation", validation))):
        for k, label in enumerate(("cat", "dog")):
            place = folder / name / label
            place.mkdir(parents=True)
            for i in range(count):
                (place / f"{i:02d}.png").write_bytes(content(1000 * number + 100 * k + i))
    return folder


def lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def refusal(folder: Path, task: Task = TASK) -> str:
    with pytest.raises(ConfigError) as caught:
        load(task, folder)
    assert caught.value.exit_code == 2
    return f"{caught.value.message} {caught.value.hint}"


def test_a_folder_with_a_sub_folder_for_each_class(tmp_path: Path) -> None:
    data = load(TASK, classes(tmp_path))
    assert data.counts is not None
    assert data.counts.labels == {
        "train": {"cat": 20, "dog": 20},
        "validation": {"cat": 5, "dog": 5},
    }
    assert data.counts.notices == ()
    assert [row["label"] for row in data.train] == [0] * 20 + [1] * 20
    assert data.train[21]["image"].read() == content(101)
    parts = split(data)
    every = [*parts.search_train, *parts.search_valid, *parts.selection]
    assert sorted(row["image"].digest for row in every) == sorted(
        row["image"].digest for row in data.train
    )
    for part in (parts.search_valid, parts.selection):  # labels as evenly as among all rows
        labels = [row["label"] for row in part]
        assert abs(labels.count(0) - labels.count(1)) <= 1


def test_images_are_read_alike_however_they_are_given(tmp_path: Path) -> None:
    """Paths beside a table, whole paths, bytes, and the mapping that data sets of the Hub hold."""
    found: list[TaskData] = []
    images = [content(i, "JPEG" if i % 2 else "PNG") for i in range(12)]
    names = [f"{i}.{'jpg' if i % 2 else 'png'}" for i in range(12)]
    labels = [("cat", "dog")[i % 2] for i in range(12)]
    for kind in ("paths", "absolute", "bytes", "hub", "metadata"):
        folder = tmp_path / kind
        (folder / "pictures").mkdir(parents=True)
        for name, each in zip(names, images, strict=True):
            (folder / "pictures" / name).write_bytes(each)
        for part in ("train", "validation"):
            if kind == "metadata":
                (folder / "pictures").rename(folder / part) if part == "train" else (
                    folder / part
                ).mkdir()
                for name, each in zip(names, images, strict=True):
                    (folder / part / name).write_bytes(each)
                rows = [{"file_name": n, "label": x} for n, x in zip(names, labels, strict=True)]
                lines(folder / part / "metadata.jsonl", rows)
            elif kind in ("paths", "absolute"):
                start = "pictures" if kind == "paths" else str(folder / "pictures")
                rows = [
                    {"image": f"{start}/{n}", "label": x}
                    for n, x in zip(names, labels, strict=True)
                ]
                lines(folder / f"{part}.jsonl", rows)
            else:
                values: list[Any] = list(images)
                if kind == "hub":
                    values = [{"bytes": each, "path": None} for each in images]
                frame = pandas.DataFrame({"image": values, "label": labels})
                frame.to_parquet(folder / f"{part}.parquet")
        found.append(load(TASK, folder))
    assert len({data.fingerprint for data in found}) == 1
    assert all([r["image"].read() for r in data.train] == images for data in found)
    assert len({data.train[0]["image"] for data in found}) == 1  # the same wherever they lie


def test_the_fingerprint_is_that_of_the_pixels_file(tmp_path: Path) -> None:
    before = load(TASK, classes(tmp_path)).fingerprint
    (tmp_path / "train/cat/03.png").write_bytes(content(7777))
    assert load(TASK, tmp_path).fingerprint != before


def test_equal_images_stay_together_and_are_counted(tmp_path: Path) -> None:
    folder = classes(tmp_path)
    (folder / "train/dog/copy.png").write_bytes(content(3))  # a cat of the training rows
    (folder / "validation/cat/copy.png").write_bytes(content(4))
    data = load(TASK, folder)
    assert data.counts is not None
    assert (data.counts.repeated, data.counts.contradicting) == (1, 1)
    assert data.counts.seen == {"validation": 1}
    assert any("copy.png" in notice for notice in data.counts.notices)


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda p: p.write_bytes(b"no image at all"), "its format is not known"),
        (lambda p: p.write_bytes(content(1)[:60]), "no image that can be decoded"),
        (lambda p: p.write_bytes(b""), "its format is not known"),
        (lambda p: p.rename(p.with_name("notes.txt")).write_text("x"), "notes.txt"),
        (lambda p: p.rename(p.parent.parent / p.name), '"label" is missing'),
        (lambda p: (p.parent.parent / "cow").mkdir(exist_ok=True)
         or p.rename(p.parent.parent / "cow" / p.name),
         "the label 'cow' is not known"),
    ],
)  # fmt: skip
def test_a_bad_image_is_refused_with_its_place(break_it: Any, words: str, tmp_path: Path) -> None:
    folder = classes(tmp_path)
    for name in ("03.png", "04.png"):
        break_it(folder / "train/cat" / name)
    said = refusal(folder)
    assert words in said
    assert said.count(str(folder / "train")) >= 2  # both rows, each with its place


def test_a_missing_file_is_refused_with_the_row(tmp_path: Path) -> None:
    folder = classes(tmp_path / "x")
    rows = [{"image": f"train/cat/{i:02d}.png", "label": "cat"} for i in range(8)]
    lines(folder / "validation.jsonl", rows)
    rows[5]["image"] = "train/cat/none.png"
    lines(folder / "train.jsonl", [*rows, {"label": "dog"}, {"image": 4, "label": "dog"}])
    said = refusal(folder)
    assert "train.jsonl line 6" in said
    assert 'none.png", which cannot be read (No such file or directory)' in said
    assert f"Relative paths begin at {folder}" in said
    assert 'line 9: "image" is missing' in said
    assert 'line 10: "image" is of type int' in said


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)
    assert "exceeds limit" in refusal(classes(tmp_path))


def test_a_table_beside_files_names_each(tmp_path: Path) -> None:
    folder = classes(tmp_path)
    lines(folder / "train/metadata.jsonl", [{"label": "cat"}])
    assert '"file_name" is None' in refusal(folder)


def test_the_class_is_the_first_folder(tmp_path: Path) -> None:
    folder = classes(tmp_path)
    deeper = folder / "train/dog/from/elsewhere"
    deeper.mkdir(parents=True)
    (deeper / "9.PNG").write_bytes(content(9000))
    (folder / "train/dog/.hidden").write_text("x")
    data = load(TASK, folder)
    assert data.counts is not None
    assert data.counts.labels["train"] == {"cat": 20, "dog": 21}


def test_other_folders_are_no_splits(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.txt").write_text("x")
    classes(tmp_path).joinpath("train").rename(tmp_path / ".train")
    with pytest.raises(MissingError, match=r'no file "train" \(found: validation\)'):
        load(TASK, tmp_path)


def test_decoding_turns_and_converts() -> None:
    image = picture(0, size=4).resize((4, 2))
    notes = Image.Exif()
    notes[274] = 6  # the camera was turned by a quarter
    target = io.BytesIO()
    image.save(target, format="PNG", exif=notes)
    upright = decoded(target.getvalue())
    assert upright.size == (2, 4)
    assert np.array_equal(np.asarray(upright), np.rot90(np.asarray(image), -1))
    for mode in ("1", "L", "LA", "P", "RGBA", "CMYK", "I;16"):
        made = picture(1, mode) if mode != "I;16" else picture(1, "I").convert("I;16")
        assert decoded(encoded(made)).mode == "RGB"
        assert decoded(encoded(made), channels=1).mode == "L"
    plain = picture(2)
    assert np.array_equal(np.asarray(decoded(encoded(plain))), np.asarray(plain))


def test_a_task_is_made_of_a_folder(tmp_path: Path) -> None:
    task = get("image-classification", Wishes(), classes(tmp_path))
    assert (task.columns, task.label_column, task.labels) == (("image",), "label", ("cat", "dog"))
    assert task.metrics == ("accuracy", "macro_f1")
    assert load(task, tmp_path).test[9]["label"] == 1
    by_its_columns = get("classification", Wishes(), tmp_path)
    assert by_its_columns.kind == "image-classification"


def test_the_column_is_found_by_type_or_by_name_or_asked_for(tmp_path: Path) -> None:
    for part in ("train", "validation"):
        rows = [{"photo": encoded(picture(i)), "label": i % 2} for i in range(8)]
        pandas.DataFrame(rows).to_parquet(tmp_path / f"{part}.parquet")
    with pytest.raises(ConfigError, match="it is not clear which column is the image"):
        get("image-classification", Wishes(), tmp_path)
    task = get("image-classification", Wishes(text_columns=("photo",)), tmp_path)
    assert load(task, tmp_path).test[1]["photo"].read() == encoded(picture(1))
    assert _described({"_type": "Image"}).type == "image"


def test_a_task_file(tmp_path: Path) -> None:
    path = tmp_path / "pets.yaml"
    path.write_text("kind: image-classification\nlabels: [cat, dog]\ndata: .\n")
    task = read_task(path)
    assert (task.columns, task.template, task.label_words) == (("image",), "", ())
    classes(tmp_path)
    assert len(load(task).train) == 40
    path.write_text(
        "kind: image-classification\ncolumns: [a, b]\nlabels: [x, y]\ntemplate: '{a}'\n"
        "label_words: [x, y]\nmetrics: [pearson]\n"
    )
    with pytest.raises(ConfigError) as caught:
        read_task(path)
    for words in (
        "columns has 2 names",
        "Give one for each of: image",
        "template has no meaning",
        "label_words have no meaning",
        'metric "pearson" is not for image-classification',
    ):
        assert words in caught.value.message


def test_media_are_the_same_by_their_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    assert Media("1", tmp_path / "a") == Media("1", data=b"x")
    assert Media("1") != Media("2")
    assert str(Media("1", data=b"x")) == "1"
