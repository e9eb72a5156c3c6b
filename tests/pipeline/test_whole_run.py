"""A whole run on a tiny T5, and what it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from peftsearch import pipeline
from peftsearch.architecture import Architecture
from peftsearch.rundir import STAGES
from tests.pipeline.material import Material, write_space


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_file_of_the_contract_is_there(finished: Path) -> None:
    names = [
        "config.yaml",
        "manifest.json",
        "events.jsonl",
        "sites.json",
        "space.json",
        "architecture.json",
        "search/checkpoint.safetensors",
        "search/alphas.jsonl",
        "search/measured.json",
        "race.json",
        "retrain/seed-0/metrics.json",
        "retrain/seed-0/adapter.safetensors",
        "baselines/random-1/architecture.json",
        "baselines/random-1/metrics.json",
        "baselines/uniform-lora/metrics.json",
        "export/native/check.json",
        "export/native/native.json",
        "summary.json",
        "report/report.html",
    ]
    assert [name for name in names if not (finished / name).is_file()] == []
    assert list(finished.glob("report/figures/*.png"))
    assert list(finished.glob("report/tables/*.csv"))
    left = [p.name for p in finished.rglob("*") if p.name.startswith(".tmp") or "result" in p.name]
    assert [name for name in left if name.startswith(".tmp")] == []
    manifest = _json(finished / "manifest.json")
    assert list(manifest["stages"]) == list(STAGES)
    assert {entry["status"] for entry in manifest["stages"].values()} == {"done"}
    rows = manifest["data"]["rows"]
    assert sum(rows[name] for name in ("search_train", "search_valid", "selection")) == 80
    assert rows["test"] == 24


def test_the_budget_is_kept_by_everything_trained(finished: Path) -> None:
    limit = Architecture.load(finished / "architecture.json").limit
    assert limit == int(0.12 * _json(finished / "sites.json")["backbone_parameters"])
    paths = [*finished.glob("race/*.json"), *finished.glob("baselines/*/architecture.json")]
    architectures = [p for p in paths if not p.name.endswith(".result.json")]
    assert len(architectures) > 3
    for path in architectures:
        assert Architecture.load(path).num_params <= limit, path
    for path in finished.rglob("seed-0/metrics.json"):
        metrics = _json(path)
        assert 0 < metrics["num_params"] <= limit
        assert metrics["head_params"] == 0
        assert metrics["steps"] == 5
    for line in (finished / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["stage"] == "search" and event["event"] == "step":
            assert event["expected_cost"] <= limit * (1 + 1e-9)


def test_the_summary_agrees_with_the_stages(finished: Path) -> None:
    summary = _json(finished / "summary.json")
    architecture = Architecture.load(finished / "architecture.json")
    assert summary["budget"]["used"] == architecture.num_params
    assert summary["found"]["num_params"] == architecture.num_params
    assert summary["found"]["mean"] == _json(finished / "retrain/metrics.json")["mean"]
    race = _json(finished / "race.json")
    first, last = race["contestants"][0], max(row["steps"] for row in race["contestants"])
    top = max(row["score"] for row in race["contestants"] if row["steps"] == last)
    assert (race["winner"], last) == (first["name"], first["steps"])
    assert len(summary["race"]["contestants"]) == len(race["contestants"]) > 1
    for said, row in zip(summary["race"]["contestants"], race["contestants"], strict=True):
        assert said.items() <= row.items()
    assert first["score"] == top or first["source"] == "uniform"  # the simplest of equals
    assert Architecture.load(finished / f"race/{race['winner']}.json") == architecture
    assert summary["exports"]["native"]["verified"]
    assert summary["exports"]["native"]["max_logit_difference"] == 0.0


def test_every_site_is_listed_in_order(finished: Path) -> None:
    sites = [site["id"] for site in _json(finished / "sites.json")["sites"]]
    choices = [c.site for c in Architecture.load(finished / "architecture.json").choices]
    assert list(dict.fromkeys(choices)) == sites


def test_resuming_a_finished_run_does_nothing(finished: Path, material: Material) -> None:
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.is_file()}
    events: list[dict[str, Any]] = []
    result = pipeline.run(material.config(), resume=finished, listener=events.append)
    assert result.summary == _json(finished / "summary.json")
    assert {event["event"] for event in events} == {"skip"}
    after = {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.is_file()}
    changed = {p.name for p in {**before, **after} if before.get(p) != after.get(p)}
    assert changed <= {"events.jsonl", ".lock", ".lock-holder.json"}


def test_the_export_is_loaded_without_the_run(finished: Path, material: Material) -> None:
    import peftsearch
    from peftsearch import testing
    from tests.models import inputs

    loaded = peftsearch.load(finished / "export/native")
    plain = peftsearch.unapply(peftsearch.load(finished / "export/native"))
    batch = inputs(loaded)
    batch = {name: tensor.clamp(max=31) for name, tensor in batch.items()}
    assert loaded.peftsearch_architecture == Architecture.load(finished / "architecture.json")
    found, base = testing.logits(loaded, batch), testing.logits(plain, batch)
    assert float((found - base).abs().max()) > 0


def test_an_encoder_with_a_head(material: Material, tmp_path: Path) -> None:
    out = tmp_path / "bert"
    result = pipeline.run(material.config("bert", search={"architectures_per_batch": 2}), out=out)
    metrics = _json(out / "retrain/seed-0/metrics.json")
    assert metrics["head_params"] == 2 * 16 + 2
    assert (out / "retrain/seed-0/head.safetensors").is_file()
    assert result.summary["budget"]["head"] == 34
    assert result.summary["exports"]["native"]["verified"]
    sites = _json(out / "sites.json")
    assert sites["head_parameters"] == 34
    assert sites["family"] == "bert"


@pytest.mark.usefixtures("short")
def test_half_precision(material: Material, tmp_path: Path) -> None:
    """PEFT can hold what this space finds, and must reproduce it in spite of bfloat16."""
    lora = {"method": "lora", "modules": ["q", "v"], "sizes": [1, 2]}
    space = write_space(tmp_path / "lora.yaml", "attention", lora)
    out = tmp_path / "run"
    result = pipeline.run(material.config(precision="bf16", space=str(space)), out=out)
    assert result.summary["exports"]["native"]["verified"]
    assert result.summary["exports"]["peft"]["verified"]
    with safe_open(out / "export/native/check.safetensors", "pt") as file:
        logits = file.get_tensor("logits")
    # Compared in float32: logits of a forward in bfloat16 would survive the round trip.
    assert not torch.equal(logits, logits.bfloat16().float())
