"""A run whose memory runs out in the midst ends as one whose memory did not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from peftsearch import pipeline
from peftsearch.formats.text_to_text import TextToText
from tests.pipeline.material import Material

#: Rows at once for which there is room, in training and in scoring.
ROOM, ROOM_TO_SCORE = 3, 5


def run(material: Material, out: Path, **changes: Any) -> dict[str, Any]:
    search = {"architectures_per_batch": 2, "probed_fraction": 0.5, **changes.pop("search", {})}
    config = material.config(dropout=0.0, search=search, **changes)
    return pipeline.run(config, out=out).summary


def fill_memory(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the memory run out when a pass is nearly done."""
    failed: list[str] = []
    loss, predict = TextToText.loss, TextToText.predict

    def full(what: str, batch: dict[str, Tensor], training: bool) -> None:
        if len(batch["input_ids"]) > (ROOM if training else ROOM_TO_SCORE):
            failed.append(what)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def short_loss(self: TextToText, model: Any, batch: dict[str, Tensor]) -> Tensor:
        found = loss(self, model, batch)
        full("train" if model.training else "measure", batch, model.training)
        return found

    def short_predict(self: TextToText, model: Any, batch: dict[str, Tensor]) -> Any:
        found = predict(self, model, batch)
        full("predict", batch, False)
        return found

    monkeypatch.setattr(TextToText, "loss", short_loss)
    monkeypatch.setattr(TextToText, "predict", short_predict)
    return failed


def trace(out: Path) -> Tensor:
    lines = (out / "search" / "alphas.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])["probabilities"]
    return torch.tensor([share for row in last for share in row])


@pytest.mark.usefixtures("short")
def test_the_result_is_the_same(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = run(material, tmp_path / "plenty")
    failed = fill_memory(monkeypatch)
    found = run(material, tmp_path / "short")
    assert failed.count("train") == 2  # 8, 4, then 2 rows at once in every stage
    assert found["micro_batch"]["train"] == 2
    assert 1 <= found["micro_batch"]["score"] <= ROOM_TO_SCORE
    assert "micro_batch" not in wanted
    torch.testing.assert_close(trace(tmp_path / "short"), trace(tmp_path / "plenty"))
    ours, theirs = (
        load_file(tmp_path / name / "retrain" / "seed-0" / "adapter.safetensors")
        for name in ("short", "plenty")
    )
    assert set(ours) == set(theirs)
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-4, atol=1e-5)
    assert found["found"]["values"] == pytest.approx(wanted["found"]["values"])
    events = (tmp_path / "short" / "events.jsonl").read_text()
    assert "Memory ran out with 8 rows at once: from now on 4" in events


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_accumulation_is_the_large_batch(material: Material, tmp_path: Path) -> None:
    """Also where answers differ in length, so that parts have different numbers of terms."""
    run(material, tmp_path / "whole")
    run(material, tmp_path / "parts", accumulation=3)
    torch.testing.assert_close(trace(tmp_path / "parts"), trace(tmp_path / "whole"))
    ours, theirs = (
        load_file(tmp_path / name / "retrain" / "seed-0" / "adapter.safetensors")
        for name in ("parts", "whole")
    )
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-4, atol=1e-5)
