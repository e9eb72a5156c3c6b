"""A run with ``exportable_to``: nothing that is proposed, raced or found is refused there."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from peftsearch import baselines, pipeline
from peftsearch.architecture import Architecture
from peftsearch.backbones.loading import load_backbone
from peftsearch.export.writing import problems
from peftsearch.strategies import priced
from tests.pipeline.material import Material


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uniform BitFit takes T5's norms too, where PEFT has no bias; every uniform one races."""
    methods = {"uniform-lora": "lora", "uniform-bitfit": "bitfit", "uniform-adapter": "adapter"}
    monkeypatch.setattr(baselines, "UNIFORM", methods)
    monkeypatch.setattr(priced, "liked", lambda values, fills: -math.inf)
    monkeypatch.setattr("peftsearch.report.write_report", lambda path: None)


@pytest.mark.usefixtures("named")
def test_a_run_that_is_narrowed(material: Material, tmp_path: Path) -> None:
    out, told = tmp_path / "run", []
    config = material.config(exportable_to="peft", export={"targets": ["native", "peft"]})
    assert [one["method"] for one in pipeline.plan(config)["space"]["removed"]] == [
        "prefix",
        "adapter",
        "parallel_adapter",
    ]
    result = pipeline.run(config, out=out, listener=told.append)
    space = _json(out / "space.json")
    assert space["exportable_to"] == ["peft"]
    assert {c["method"] for gate in space["gates"] for c in gate["candidates"]} == {
        "none",
        "lora",
        "bitfit",
    }
    lines = [event["text"] for event in told if event["event"] == "narrowed"]
    assert lines[1].startswith("adapter removed at 2 sites (4 candidates) for peft: PEFT has no")
    assert len(lines) == len(space["removed"]) == 3
    backbone = load_backbone(str(material.t5), 2)
    raced = [p for p in (out / "race").glob("*.json") if not p.name.endswith(".result.json")]
    assert {"uniform-bitfit", "uniform-lora"} <= {path.stem for path in raced}
    for path in [*raced, out / "architecture.json", out / "baselines/random-1/architecture.json"]:
        assert problems("peft", Architecture.load(path), backbone) == [], path
    found = result.summary["baselines"]
    marked = {name for name, entry in found.items() if "not_exportable_to" in entry}
    refused = {n for n in found if problems("peft", _architecture(out, n), backbone)}
    assert marked == refused == {"uniform-bitfit", "uniform-adapter"}
    assert result.summary["exports"]["peft"]["verified"]


def _architecture(out: Path, baseline: str) -> Architecture:
    return Architecture.load(out / "baselines" / baseline / "architecture.json")
