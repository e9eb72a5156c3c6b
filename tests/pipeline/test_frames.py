"""Rows as pandas frames, and a task as an object: a run keeps both, and goes on without them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas
import pytest

import peftsearch
from peftsearch import baselines, planning
from peftsearch import config as configuration
from peftsearch.errors import ConfigError
from tests.pipeline.material import SHORT, Material

FRAMES = ("train", "validation")


def frames_of(material: Material) -> dict[str, pandas.DataFrame]:
    found = {}
    for name in FRAMES:
        lines = (material.data / f"{name}.jsonl").read_text().splitlines()
        frame = pandas.DataFrame([json.loads(line) for line in lines])
        found[name] = frame.rename(columns={"label": "topic"})
    return found


def options_of(material: Material) -> dict[str, Any]:
    return {**SHORT, "model": str(material.bert), "space": str(material.space),
            "export": {"targets": ["native"]}}  # fmt: skip


@pytest.mark.slow
def test_a_run_on_frames_is_resumed_from_another_place_without_them(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "UNIFORM", {"uniform-lora": "lora"})
    task = peftsearch.Task(
        "topics", "", "classification", ("sentence1", "sentence2"), "topic", ("same", "other"),
        label_words=("same", "other"), template="{sentence1} {sentence2}",
    )  # fmt: skip
    out = tmp_path / "run"
    done = peftsearch.run(task=task, data=frames_of(material), out=out, **options_of(material))
    assert done.summary["task"] == "topics"
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["data"]["counts"]["labels"]["train"] == {"same": 40, "other": 40}
    kept = {path.relative_to(out).as_posix() for path in (out / "data").iterdir()}
    assert kept == {"data/train.parquet", "data/validation.parquet"}
    moved = shutil.move(out, tmp_path / "moved")
    again = peftsearch.run(resume=moved)  # the rows must be the same: a fingerprint is compared
    assert again.summary["found"] == done.summary["found"]
    with pytest.raises(ConfigError, match="has its task and its rows already"):
        peftsearch.run(resume=moved, data=frames_of(material))


def test_a_kind_and_frames(material: Material, tmp_path: Path) -> None:
    frames = frames_of(material)
    frames["train"].loc[4, "sentence1"] = " "
    with pytest.raises(ConfigError, match=r'data\["train"\] row 5: "sentence1" is empty'):
        peftsearch.run(
            task="classification", data=frames, out=tmp_path / "run",
            dataset={"label_column": "topic"}, **options_of(material),
        )  # fmt: skip
    assert not (tmp_path / "run").exists()  # nothing in it was worth going on with


def test_the_folder_of_a_run_is_empty_or_refused(material: Material, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(ConfigError, match="is not empty"):
        peftsearch.run(task="classification", data=frames_of(material), out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_plan_prints_what_is_seen_in_the_rows(material: Material, tmp_path: Path) -> None:
    from peftsearch.cli.rendering import row_lines

    folder = tmp_path / "rows"
    folder.mkdir()
    for name in FRAMES:
        lines = (material.data / f"{name}.jsonl").read_text().splitlines()
        long = json.dumps({"sentence1": "the " * 60, "sentence2": "a", "label": 1})
        (folder / f"{name}.jsonl").write_text("\n".join([*lines, long]) + "\n")
    settings = configuration.resolve(
        flags={**options_of(material), "task": "rte", "data": str(folder)}
    )
    plan = planning.plan(settings)
    assert plan["rows"]["labels"]["train"] == {"entailment": 40, "not_entailment": 41}
    assert plan["rows"]["seen_in_training"] == {"validation": 1}
    assert (plan["rows"]["longest"], plan["rows"]["cut"]) == (40, 2)
    text = "\n".join(row_lines(plan["rows"]))
    assert "train labels: 40 entailment, 41 not_entailment" in text
    assert "1 of validation seen in training" in text
    assert "longest input 40 tokens, 2 rows cut" in text
    assert any("training rows too" in warning for warning in plan["warnings"])
    assert any("2 rows are cut to 40 tokens" in warning for warning in plan["warnings"])


def test_a_task_of_a_run_with_objects_is_read_from_the_run(
    material: Material, tmp_path: Path
) -> None:
    """``config.yaml`` names the file that the run holds itself."""
    from peftsearch.frames import OWN_TASK, brought
    from peftsearch.tasks.files import read_task

    task = peftsearch.Task("t", "one", "regression", ("a",), template="t a: {a}",
                           metrics=("pearson",))  # fmt: skip
    rows = [pandas.DataFrame({"a": [text], "label": [1.0]}) for text in ("x", "y")]
    brought(task, dict(zip(("train", "test"), rows, strict=True))).write(tmp_path)
    assert read_task(tmp_path / OWN_TASK) == task


def test_a_registered_task_is_taken_by_its_name(material: Material) -> None:
    from peftsearch.frames import brought
    from peftsearch.tasks import get

    assert brought(get("wic"), None).task is None
