"""A real trial: search, race and a short training, blind to the test rows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from peftsearch import config as configuration
from peftsearch.errors import DivergedError
from peftsearch.tune import child
from tests.pipeline.material import Material, build


class Wire:
    """A line whose worker answers as it is told to, and dies where it is told to."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.said = list(answers), []

    def hear(self) -> str:
        if not self.answers:
            raise KeyboardInterrupt
        return self.answers.pop(0)

    def say(self, **words: Any) -> None:
        self.said.append(words)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return build(tmp_path_factory.mktemp("material"))


def trial(material: Material, folder: Path, *answers: str, baseline: str = "", **more: Any) -> Any:
    """Run a trial in this process; return its line and its result."""
    config = configuration.to_mapping(material.config(search={"steps": 4}, trainings=6, **more))
    job = {"config": config, "folder": str(folder), "shares": [0.5, 1.0], "baseline": baseline}
    wire = Wire(*answers)
    return wire, child.run(job, wire)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole(material: Material, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    folder = tmp_path_factory.mktemp("trial") / "0000"
    return folder, *trial(material, folder, "go", "go")


def test_the_score_is_that_of_a_training_on_selection(whole: tuple[Path, Any, Any]) -> None:
    folder, wire, result = whole
    assert [words["rung"] for words in wire.said] == [0, 1]
    assert list(result["scores"]) == ["0.5", "1"]
    assert result["score"] == wire.said[-1]["score"] == result["scores"]["1"]
    record = json.loads((folder / "tune" / "found.result.json").read_text())
    found = json.loads((folder / "architecture.json").read_text())
    assert record["scores"]["5"] == result["score"]
    assert result["num_params"] == found["num_params"]
    rows = json.loads((folder / "manifest.json").read_text())["data"]["rows"]
    assert len(record["predictions"]) == rows["selection"]
    assert rows["test"] == 0
    assert not (folder / "retrain").exists()
    assert not list(folder.rglob("metrics.json"))


def test_test_rows_change_nothing(
    material: Material, tmp_path: Path, whole: tuple[Path, Any, Any]
) -> None:
    """Other test rows, with every label turned round: the same trial to the last digit."""
    data = tmp_path / "data"
    shutil.copytree(material.data, data)
    lines = [json.loads(line) for line in (data / "validation.jsonl").read_text().splitlines()]
    turned = [{**row, "label": 1 - row["label"], "sentence1": "no cat"} for row in lines[::-1]]
    (data / "validation.jsonl").write_text("\n".join(map(json.dumps, turned)) + "\n")
    _, result = trial(material, tmp_path / "0000", "go", "go", data=str(data))
    assert result["scores"] == whole[2]["scores"]
    for name in ("race.json", "architecture.json"):
        pair = [json.loads((f / name).read_text()) for f in (whole[0], tmp_path / "0000")]
        for each in pair:
            for contestant in each.get("contestants", ()):
                contestant.pop("seconds")
        assert pair[0] == pair[1]


def test_a_workspace_cannot_see_a_test_row(material: Material, tmp_path: Path) -> None:
    from peftsearch import pipeline

    seen = []

    def judge(work: Any) -> int:
        seen.append((work.features.test, work.features.more_tests, work.splits.test))
        return len(work.features.train)

    config = material.config()
    assert pipeline.run_blind(config, tmp_path / "run", ("prepare",), judge) > 0
    assert seen == [([], {}, [])]


def test_a_trial_goes_on_where_it_was(
    material: Material, tmp_path: Path, whole: tuple[Path, Any, Any]
) -> None:
    folder = tmp_path / "0000"
    with pytest.raises(KeyboardInterrupt):
        trial(material, folder, "go")  # its worker dies after the first rung
    before = (folder / "race.json").stat().st_mtime_ns
    wire, result = trial(material, folder, "go", "go")
    assert (folder / "race.json").stat().st_mtime_ns == before
    assert result["scores"] == whole[2]["scores"]
    assert wire.said == whole[1].said


def test_a_pruned_trial_stops(
    material: Material, tmp_path: Path, whole: tuple[Path, Any, Any]
) -> None:
    folder = tmp_path / "0000"
    shutil.copytree(whole[0], folder)
    with pytest.raises(child.Pruned):
        trial(material, folder, "prune")


def test_a_uniform_baseline(material: Material, tmp_path: Path) -> None:
    folder = tmp_path / "0000"
    wire, result = trial(material, folder, "go", "go", baseline="uniform-lora")
    assert [words["rung"] for words in wire.said] == [0, 1]
    assert result["num_params"] > 0
    assert not (folder / "search").exists()


def test_divergence_is_an_error_of_its_own(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peftsearch.training.finite", lambda loss: False)
    with pytest.raises(DivergedError, match="diverged"):
        trial(material, tmp_path / "0000", "go", "go", baseline="uniform-lora")
    assert child._explained(DivergedError("found diverged")) == (5, "found diverged")
    assert child._explained(MemoryError("x"))[0] == 3


def test_dropout_reaches_the_backbone(material: Material) -> None:
    from torch import nn

    from peftsearch.backbones.loading import load_backbone

    for folder, rate in ((material.t5, 0.3), (material.bert, 0.2)):
        own = load_backbone(str(folder), 2)
        given = load_backbone(str(folder), 2, dropout=rate)
        rates = [
            {m.p for m in each.model.modules() if isinstance(m, nn.Dropout)}
            for each in (own, given)
        ]
        assert max(rates[0]) == 0.1
        assert rates[1] == {rate}
