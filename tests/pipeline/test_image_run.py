"""Whole runs on images, and on images with texts, to exports that load back."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification

import peftsearch
from peftsearch import baselines, pipeline, planning
from tests.pipeline.material import SHORT, Material
from tests.pipeline.vision_material import (
    CLASSES,
    short_config,
    write_classes,
    write_clip,
    write_pairs,
    write_vit,
)


@pytest.fixture(autouse=True)
def _one_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "UNIFORM", {"uniform-lora": "lora"})


def test_a_run_of_a_vit_to_a_checkpoint_that_transformers_loads(
    material: Material, tmp_path: Path
) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(
        "name: s\nsites:\n  - where: {part: attention}\n    candidates:\n"
        "      - {method: lora, modules: [q, v], sizes: [1, 2]}\n"
        "  - where: {part: norm}\n    candidates:\n      - {method: layernorm}\n"
    )
    data = write_classes(tmp_path / "data")
    settings = short_config(
        write_vit(tmp_path / "model"), space, "image-classification", data,
        budget="10%", export={"targets": ["native", "peft", "merged"]},
        limits={"train_flops": "90%"},
    )  # fmt: skip
    plan = planning.plan(settings)
    assert plan["rows"]["labels"]["train"] == dict.fromkeys(CLASSES, 40)
    assert (plan["rows"]["longest"], plan["rows"]["cut"]) == (None, 0)
    assert plan["head_parameters"] == 2 * 16 + 2
    out = tmp_path / "run"
    result = pipeline.run(settings, out=out)
    assert all(check["verified"] for check in result.summary["exports"].values())
    test = json.loads((out / "retrain/seed-0/metrics.json").read_text())["test"]
    assert list(test) == ["accuracy", "macro_f1"]
    assert AutoImageProcessor.from_pretrained(out / "export" / "native").size["height"] == 8
    # The merged export by itself classifies as the run says, with the processor beside it.
    merged = out / "export" / "merged"
    model = AutoModelForImageClassification.from_pretrained(merged).eval()
    processor = AutoImageProcessor.from_pretrained(merged)
    right = 0
    for k, name in enumerate(CLASSES):
        images = [Image.open(path) for path in sorted((data / "validation" / name).iterdir())]
        with torch.no_grad():
            said = model(**processor(images=images, return_tensors="pt")).logits.argmax(1)
        right += int((said == k).sum())
    assert test["accuracy"] == pytest.approx(right / 24)


@pytest.mark.slow
def test_frames_with_images_are_kept_in_the_run(material: Material, tmp_path: Path) -> None:
    data = write_classes(tmp_path / "data")
    frames = {}
    for part in ("train", "validation"):
        paths = sorted((data / part).rglob("*.png"))
        labels = [path.parent.name for path in paths]
        images: list[Any] = [
            Image.open(p) if i % 2 else p.read_bytes() for i, p in enumerate(paths)
        ]
        frames[part] = pandas.DataFrame({"image": images, "label": labels})
    out = tmp_path / "run"
    options = {**SHORT, "space": str(material.space), "export": {"targets": ["native"]}}
    done = peftsearch.run(
        task="image-classification", data=frames, out=out, budget="20%",
        dataset={"text_columns": ["image"]},
        model=str(write_vit(tmp_path / "model")),
        **{key: value for key, value in options.items() if key != "budget"},
    )  # fmt: skip
    shutil.rmtree(data)
    moved = shutil.move(out, tmp_path / "moved")
    again = peftsearch.run(resume=moved)  # a fingerprint of the rows is compared
    assert again.summary["found"] == done.summary["found"]


@pytest.mark.slow
def test_a_run_of_a_clip(material: Material, tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "data")
    model = write_clip(tmp_path / "model")
    settings = short_config(
        model, material.space, "image-text-retrieval", data, budget="6%",
        export={"targets": ["native"]},
    )  # fmt: skip
    plan = planning.plan(replace(settings, accumulation=2))
    assert any("in 2 parts" in text for text in plan["warnings"])
    assert plan["head_parameters"] == 0
    assert plan["rows"]["longest"] == 5
    out = tmp_path / "run"
    result = pipeline.run(settings, out=out)
    assert result.summary["exports"]["native"]["verified"]
    test = json.loads((out / "retrain/seed-0/metrics.json").read_text())["test"]
    assert next(iter(test)) == "mean_recall"
    assert len(test) == 7
    assert test["image_to_text_recall_1"] <= test["image_to_text_recall_5"]
    gates = json.loads((out / "space.json").read_text())["gates"]
    assert {gate["stack"] for gate in gates} == {"text", "vision"}
    loaded = peftsearch.load(out / "export" / "native", check=True)
    assert type(loaded).__name__ == "CLIPModel"
    page = (out / "report" / "report.html").read_text()
    assert "Vision" in page
    assert "Text" in page
