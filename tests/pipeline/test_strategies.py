"""Every strategy makes a whole run, with its summary and its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from peftsearch import baselines, pipeline
from peftsearch.architecture import Architecture
from peftsearch.catalogue import strategies
from peftsearch.rundir import read_json
from tests.pipeline.material import Material

#: A whole run takes seconds; the others play a table in the contract of strategies.
QUICK = ("random", "s3pet")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in sorted(set(strategies()) - {"priced"})
    ],
)
def test_a_whole_run(
    name: str, material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "UNIFORM", {"uniform-lora": "lora"})
    settings: dict[str, Any] = {"strategy": name, "trainings": 4, "export": {"targets": ["native"]}}
    done = pipeline.run(material.config(**settings), out=tmp_path / "run")
    found = Architecture.load(done.run_dir / "architecture.json")
    assert 0 < found.num_params <= found.limit
    assert done.summary["found"]["n"] == 1
    race = read_json(done.run_dir / "race.json")
    assert race["winner"] == race["contestants"][0]["name"]
    page = (done.run_dir / "report" / "report.html").read_text(encoding="utf-8")
    assert race["winner"] in page
