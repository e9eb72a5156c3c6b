"""A whole run on a task whose answers are texts, and the same for rows of the user's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from peftsearch import baselines, pipeline, planning
from peftsearch import config as configuration
from peftsearch.errors import ConfigError
from peftsearch.tasks import get
from tests.pipeline.material import WORDS, Material


@pytest.fixture
def task_file(material: Material, tmp_path: Path) -> Path:
    """Rows whose answer is the text without its first word."""
    for name in ("train", "validation"):
        lines = (material.data / f"{name}.jsonl").read_text().splitlines()
        texts = [json.loads(line)["sentence1"] for line in lines]
        rows = [{"text": text, "rest": text.split(" ", 1)[1]} for text in texts]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    path = tmp_path / "rest.yaml"
    path.write_text(
        "kind: generation\ncolumns: [text]\nlabel_column: rest\nmax_target_length: 8\ndata: .\n"
        f"template: '{WORDS[0]} {{text}}'\n"
    )
    return path


def config(material: Material, task_file: Path, model: str = "t5") -> Any:
    return material.config(model, task=str(task_file), data=str(task_file.parent))


def test_a_run_to_its_report(
    material: Material, task_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "UNIFORM", {"uniform-lora": "lora"})
    out = tmp_path / "run"
    result = pipeline.run(config(material, task_file), out=out)
    assert result.summary["exports"]["native"]["verified"]
    test = json.loads((out / "retrain/seed-0/metrics.json").read_text())["test"]
    assert list(test) == list(get(task_file).metrics)
    assert all(0 <= value <= 1 for value in test.values())
    measured = json.loads((out / "search/measured.json").read_text())
    assert measured["metric"] == "edit_similarity"
    assert 0 < measured["chance"] < 1
    best = sorted(measured["samples"], key=lambda sample: sample["loss"])[:4]
    scored = [sample for sample in measured["samples"] if sample["score"] is not None]
    assert sorted(scored, key=lambda sample: sample["loss"]) == best
    assert (out / "report/report.html").is_file()


def test_an_encoder_is_refused_before_anything_is_done(
    material: Material, task_file: Path, tmp_path: Path
) -> None:
    encoder = config(material, task_file, "bert")
    with pytest.raises(ConfigError, match="needs an encoder-decoder model"):
        planning.plan(encoder)
    with pytest.raises(ConfigError, match="needs an encoder-decoder model"):
        pipeline.run(encoder, out=tmp_path / "run")


@pytest.mark.slow
def test_the_built_in_task(tmp_path: Path) -> None:
    settings = {
        "task": "micro-rewrite",
        "space": "tiny",
        "device": "cpu",
        "seeds": 1,
        "train_rows": 400,
        "test_rows": 64,
        "search": {"steps": 20, "measured": 4, "valid_rows": 32},
        "trainings": 30,
        "race": {"first_rung": 0.5},
        "retrain": {"steps": 6, "random_baselines": 1},
    }
    result = pipeline.run(configuration.resolve(flags=settings), out=tmp_path / "run")
    assert result.summary["exports"]["native"]["verified"]
