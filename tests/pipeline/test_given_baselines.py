"""An architecture that somebody brings is one more baseline."""

from __future__ import annotations

from pathlib import Path

import peft
import pytest

import peftsearch
from peftsearch import config as configuration
from peftsearch import pipeline
from peftsearch.architecture import Architecture
from peftsearch.backbones.loading import load_backbone
from peftsearch.errors import ConfigError
from tests.pipeline.material import Material
from tests.unit.export.material import architecture, choice

SMALL = {"target_modules": r"encoder.*\.q", "r": 2}


def _adapter(folder: Path, **options: object) -> str:
    model = load_backbone("micro-t5", 2).model
    config = peft.LoraConfig(**options)  # type: ignore[arg-type]
    peft.get_peft_model(model, config).save_pretrained(str(folder))
    return str(folder)


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


def _config(*files: str, **changes: object) -> configuration.RunConfig:
    return configuration.resolve(flags={"retrain": {"baselines": list(files)}, **changes})


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_a_baseline_that_is_none(tmp_path: Path) -> None:
    adapter = _adapter(tmp_path / "theirs", **SMALL)
    mine = tmp_path / "mine.json"
    peftsearch.import_architecture(adapter, "micro-t5").save(mine)
    with pytest.raises(ConfigError, match="has 768 parameters, and the budget is 700") as caught:
        pipeline.plan(_config(str(mine), budget="700"))
    assert caught.value.hint == "--budget 768"
    with pytest.raises(ConfigError, match=r"Two baselines are called given-mine\."):
        pipeline.plan(_config(str(mine), str(mine)))
    plan = pipeline.plan(_config(str(mine)))
    assert "given-mine" in plan["baselines"]
    both = _adapter(tmp_path / "both", target_modules=r".*\.q", r=2)
    peftsearch.import_architecture(both, "micro-t5").save(tmp_path / "both.json")
    with pytest.raises(
        ConfigError, match=r"(?s)does not fit this model:.*decoder\.00\.\w+: no such site"
    ):
        pipeline.plan(_config(str(tmp_path / "both.json"), model="micro-bert"))
    with pytest.raises(ConfigError, match=r"nothing\.json does not exist"):
        pipeline.plan(_config(str(tmp_path / "nothing.json")))
