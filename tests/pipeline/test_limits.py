"""A run within several limits: whatever is raced, retrained or compared keeps to all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from peftsearch import pipeline
from peftsearch.architecture import Architecture
from peftsearch.backbones.base import wrap
from peftsearch.baselines import complete, uniform_baselines
from peftsearch.bench.build import workspace
from peftsearch.injection import cost_function, insert_architecture, remove_all, state
from peftsearch.metering import size
from peftsearch.methods.base import SLOT
from peftsearch.resources import layer_of
from peftsearch.rundir import read_json
from peftsearch.strategies.base import random_contestants, strategy, uniform_contestants
from tests.models import FACTORIES
from tests.pipeline.material import Material

LIMITS = {"bytes": "2200", "modules_per_layer": 1, "mergeable_only": False}


@pytest.mark.parametrize("family", ["t5_v1_1", "bart", "bert"])
def test_the_counted_size_is_that_of_the_file(family: str, tmp_path: Path) -> None:
    """Exactly for a whole architecture; from its parts by no more than digits and blanks."""
    backbone = wrap(family, FACTORIES[family]())
    cost = cost_function(backbone.hosts)
    limit = 10**6
    meter = size.meter(backbone.hosts, limit)
    by_id = {site.id: site for site in backbone.sites}
    for name, choices in uniform_baselines(backbone.sites, cost, 3000).items():
        found = Architecture("m", "t", 1, "1%", 10**9, complete(choices, backbone.sites))
        insertions = insert_architecture(backbone.hosts, found)
        tensors = state(insertions)
        save_file(tensors, tmp_path / name)
        remove_all(insertions)
        there = (tmp_path / name).stat().st_size
        assert size.file_size(tensors.items()) == there
        parts = [meter(by_id[c.site], c.method, c.modules, c.size) for c in found.active]
        counted = sum(parts) + size.FIXED
        digits = 2 * len(str(limit))  # of two places of a tensor, at most
        assert there <= counted <= there + size.FIXED + digits * len(tensors)


def test_half_precision_counts_two_bytes(tmp_path: Path) -> None:
    named = {f"site/{n}": torch.zeros(3, n, dtype=torch.bfloat16) for n in (1, 7, 64)}
    save_file(named, tmp_path / "half")
    assert size.file_size(named.items()) == (tmp_path / "half").stat().st_size


@pytest.mark.usefixtures("short")
def test_all_that_is_trained_keeps_to_every_limit(material: Material, tmp_path: Path) -> None:
    config = material.config(limits=LIMITS, retrain={"random_baselines": 2})
    run = pipeline.run(config, out=tmp_path / "run").run_dir
    raced = [p for p in run.glob("race/*.json") if not p.name.endswith(".result.json")]
    others = [*run.glob("baselines/*/architecture.json"), run / "architecture.json"]
    assert len(raced) >= 3
    assert len(others) >= 3
    for path in [*raced, *others]:
        active = Architecture.load(path).active
        layers = [choice.site.rsplit(".", 1)[0] for choice in active]
        assert len(set(layers)) == len(layers), path
    for path in run.glob("**/adapter.safetensors"):
        assert path.stat().st_size <= 2200, path
    (row, per_layer) = read_json(run / "summary.json")["limits"]
    adapter = (run / "retrain" / "seed-0" / "adapter.safetensors").stat().st_size
    assert (row["name"], row["limit"], row["used"]) == ("bytes", 2200, adapter)
    assert row["text"] == f"--max-bytes 2200: {adapter:,} bytes of 2,200 bytes"
    assert per_layer["used"] == 1


@pytest.mark.parametrize("name", ["random", "tpe", "design-space", "s3pet", "uniform"])
def test_strategies_keep_to_every_limit(material: Material, name: str) -> None:
    config = material.config(strategy=name, limits=LIMITS, search={"steps": 3}, trainings=2)
    with workspace(config) as work:
        from peftsearch.race import RealTrials

        chosen = strategy(name)
        chosen.search(work)
        verdict = chosen.choose(work, RealTrials(work))
        for standing in verdict.standings:
            active = standing.contestant.architecture.active
            assert work.limits.allow(active)
            layers = [layer_of(work.limits.sites[c.site]) for c in active]
            assert len(set(layers)) == len(layers)


def test_contestants_beside_what_is_kept(material: Material, tmp_path: Path) -> None:
    with workspace(material.config()) as work:
        (first, *_) = random_contestants(work, 1)
        kept = [c for c in first.architecture.active if c.site.startswith("decoder")][:1]
        work.architecture(tuple(kept)).save(tmp_path / "kept.json")
    config = material.config(
        limits=LIMITS, budget="30%", freeze={"choices": str(tmp_path / "kept.json")}
    )
    with workspace(config) as work:
        from peftsearch.race import RealTrials

        layer = kept[0].site.rsplit(".", 1)[0]
        assert not any(gate.site.id.startswith(layer) for gate in work.space.gates)
        found = [*uniform_contestants(work, RealTrials(work)), *random_contestants(work, 3)]
        assert found
        assert all(work.limits.allow(each.architecture.active) for each in found)
        assert all(kept[0] in each.architecture.active for each in found)


@pytest.mark.usefixtures("short")
def test_training_flops_and_latency(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a planted clock: what is found keeps to both, and its numbers stand in the summary."""
    from peftsearch.metering import latency

    def seconds(backbone: Any, forward: Any) -> float:
        forward()
        slots = sum(SLOT in module._modules for module in backbone.model.modules())
        return 1.0 + 0.01 * slots

    monkeypatch.setattr(latency, "seconds", seconds)
    wanted = {"latency": "2.5%", "train_flops": "95%"}
    config = material.config(limits=wanted, retrain={"random_baselines": 2})
    run = pipeline.run(config, out=tmp_path / "run").run_dir
    summary = read_json(run / "summary.json")
    rows = {row["name"]: row for row in summary["limits"]}
    assert set(rows) == {"latency", "train_flops"}
    for row in rows.values():
        assert 0 < row["used"] <= row["limit"]
    assert rows["latency"]["measured"] == pytest.approx(rows["latency"]["used"])
    counted = summary["training_flops"]
    assert counted["found"] == rows["train_flops"]["used"] <= 0.95 * counted["lora_everywhere"]
    assert 0 < counted["backward_of_backbone"] < counted["found"]
    table = (run / "latency.json").read_text()
    with workspace(config) as work:
        (work.session.run.path / "latency.json").write_text(table)
        paths = [*run.glob("race/*.json"), *run.glob("baselines/*/architecture.json")]
        trained = [p for p in paths if not p.name.endswith(".result.json")]
        assert len(trained) > 3
        for path in trained:
            assert work.limits.allow(Architecture.load(path).active), path


def test_flops_are_counted_where_they_are_not_limited(finished: Path) -> None:
    summary = read_json(finished / "summary.json")
    assert summary["limits"] == []
    assert summary["training_flops"]["found"] > summary["training_flops"]["backward_of_backbone"]
    (counted,) = read_json(finished / "space.json")["resources"]
    assert (counted["name"], counted["limit"]) == ("train_flops", None)
