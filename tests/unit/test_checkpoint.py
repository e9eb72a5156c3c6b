"""Checkpoints hold the whole state of an optimiser, exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from peftsearch import checkpoint


def _training(seed: int = 0) -> tuple[dict[str, nn.Parameter], Any]:
    torch.manual_seed(seed)
    named = {
        "a/with/slashes": nn.Parameter(torch.randn(3, 2)),
        "b": nn.Parameter(torch.randn(4, dtype=torch.float64)),
        "never used": nn.Parameter(torch.randn(2)),
    }
    groups = [{"params": [p], "lr": 0.1 * (i + 1)} for i, p in enumerate(named.values())]
    return named, torch.optim.AdamW(groups, fused=True)


def _steps(named: dict[str, nn.Parameter], optimiser: Any, start: int, count: int) -> None:
    for step in range(start, start + count):
        torch.manual_seed(step)
        for name, parameter in named.items():
            if name != "never used":
                parameter.grad = torch.randn(parameter.shape, dtype=parameter.dtype)
        optimiser.step()


@pytest.mark.parametrize("at", [0, 1, 4])
def test_going_on_from_a_checkpoint_is_exact(at: int, tmp_path: Path) -> None:
    named, optimiser = _training()
    _steps(named, optimiser, 0, 7)
    first, optimiser = _training()
    _steps(first, optimiser, 0, at)
    path = tmp_path / "deep" / "checkpoint.safetensors"
    tensors = {**first, **checkpoint.optimiser_state(optimiser, first)}
    checkpoint.save(path, tensors, {"step": at, "text": "ü"})
    second, optimiser = _training(seed=1)
    loaded, meta = checkpoint.load(path)
    assert meta == {"step": at, "text": "ü"}
    checkpoint.restore_weights(second, loaded)
    checkpoint.restore_optimiser(optimiser, second, loaded)
    _steps(second, optimiser, at, 7 - at)
    for name, parameter in named.items():
        assert torch.equal(second[name], parameter), name
        assert second[name].dtype == parameter.dtype


def test_a_failed_write_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.safetensors"
    checkpoint.save(path, {"a": torch.ones(2)}, {"step": 1})

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="no space"):
        checkpoint.save(path, {"a": torch.zeros(2)}, {"step": 2})
    tensors, meta = checkpoint.load(path)
    assert meta["step"] == 1
    assert tensors["a"].tolist() == [1.0, 1.0]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
