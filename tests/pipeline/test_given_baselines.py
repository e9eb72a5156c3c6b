"""An architecture that somebody brings is one more baseline."""

from __future__ import annotations

from pathlib import Path

import pytest

from peftsearch import pipeline
from peftsearch.architecture import Architecture
from peftsearch.backbones.loading import load_backbone
from tests.pipeline.material import Material
from tests.unit.export.material import architecture, choice


@pytest.mark.usefixtures("short")
def test_a_run_is_compared_with_it(material: Material, tmp_path: Path) -> None:
    backbone = load_backbone(str(material.t5), 2)
    mine = architecture(
        backbone,
        [
            choice(backbone, "encoder.00.attention", "lora", 1, "q"),
            choice(backbone, "encoder.00.attention", "lora", 2, "v"),
            choice(backbone, "decoder.00.norm", "layernorm", 1, "feed_forward"),
        ],
    )
    mine.save(tmp_path / "mine" / "architecture.json")
    files = [str(tmp_path / "mine" / "architecture.json")]
    config = material.config(retrain={"baselines": files})
    plan = pipeline.plan(config)
    assert plan["baselines"] == ["given-mine", "uniform-lora"]
    (stage,) = (stage for stage in plan["stages"] if stage["name"] == "baselines")
    assert stage["trainings"] == (2 + config.retrain.random_baselines) * config.seeds
    done = pipeline.run(config, out=tmp_path / "run", command=[])
    entry = done.summary["baselines"]["given-mine"]
    assert (entry["n"], entry["num_params"]) == (config.seeds, mine.num_params)
    kept = Architecture.load(tmp_path / "run" / "baselines" / "given-mine" / "architecture.json")
    assert kept.active == mine.active
    assert kept.limit == done.summary["budget"]["limit"]
