"""A whole run on a folder of sounds with a tiny Whisper, to exports that load back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor

import peftsearch
from peftsearch import baselines, pipeline, planning
from peftsearch.errors import ConfigError
from tests.pipeline.material import Material, write_space
from tests.sound_material import folder_of, processor, whisper

#: Of the run's own: a merged checkpoint is to be had of what merges.
MERGEABLE = {"uniform-lora": "lora"}


@pytest.fixture
def settings(material: Material, tmp_path: Path) -> Any:
    """Return the configuration of a short run on a folder of sounds."""
    model = tmp_path / "whisper"
    whisper(decoder_layers=2, max_target_positions=10).save_pretrained(model)
    processor().save_pretrained(model)
    found = material.config(
        data=str(folder_of(tmp_path / "sounds")),
        task="speech-recognition",
        space=str(_space(tmp_path)),
        export={"targets": ["native", "peft", "merged"]},
        limits={"train_flops": "95%"},
    )
    return replace(found, model=str(model))


def _space(folder: Path) -> Path:
    candidate = {"method": "lora", "modules": ["q", "v"], "sizes": [1, 2]}
    return write_space(folder / "maps.yaml", "attention", candidate)


def test_a_run_to_its_report(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "UNIFORM", MERGEABLE)
    out = tmp_path / "run"
    result = pipeline.run(settings, out=out)
    exports = result.summary["exports"]
    assert set(exports) == {"native", "peft", "merged"}
    assert all(check["verified"] for check in exports.values())
    test = json.loads((out / "retrain/seed-0/metrics.json").read_text())["test"]
    assert list(test) == ["one_minus_wer", "wer", "cer"]
    assert test["wer"] == pytest.approx(1 - test["one_minus_wer"])
    loaded = peftsearch.load(out / "export" / "native", check=True)
    assert type(loaded).__name__ == "WhisperForConditionalGeneration"
    merged = out / "export" / "merged"
    AutoModelForSpeechSeq2Seq.from_pretrained(merged)
    extractor = AutoProcessor.from_pretrained(merged).feature_extractor
    assert extractor.nb_max_frames == 100, "what reads its rows is written beside it"
    plan = planning.plan(settings)
    sites = json.loads((out / "sites.json").read_text())
    assert plan["backbone_parameters"] == sites["backbone_parameters"]
    assert plan["head_parameters"] == 0


def test_other_models_and_other_tasks_are_refused(settings: Any, material: Material) -> None:
    hearing = replace(settings, model=str(material.t5))
    with pytest.raises(ConfigError, match='type "t5" cannot answer with what it hears'):
        planning.plan(hearing)
    reading = replace(material.config(), model=settings.model)
    with pytest.raises(ConfigError, match='type "whisper" cannot answer with a text') as caught:
        planning.plan(reading)
    assert "--task speech-recognition" in caught.value.hint
