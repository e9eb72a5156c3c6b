"""Predictions come back in the order of the rows, whatever the batches."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from peftsearch import evaluate, tasks
from peftsearch.formats import Feature
from peftsearch.portions import FILE, Portions


class Echo:
    """A format whose prediction is the first token of the row."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def collate(self, features: list[Feature]) -> dict[str, Any]:
        return {"first": torch.tensor([f.inputs["input_ids"][0] for f in features])}

    def predict(self, model: Any, batch: dict[str, Any]) -> list[float]:
        assert not model.training
        assert not torch.is_grad_enabled()
        self.sizes.append(len(batch["first"]))
        return [float(x) for x in batch["first"]]


@pytest.fixture
def session(tmp_path: Path) -> Any:
    portions = Portions(tmp_path / FILE, lambda text: None)
    accelerator = SimpleNamespace(autocast=nullcontext)
    return SimpleNamespace(
        accelerator=accelerator, to_device=lambda batch: batch, portions=portions
    )


def test_order(session: Any) -> None:
    torch.manual_seed(0)
    lengths = torch.randint(1, 9, (150,)).tolist()
    features = [Feature({"input_ids": [i] * length}, 0, 0.0) for i, length in enumerate(lengths)]
    echo: Any = Echo()
    model = torch.nn.Linear(1, 1).train()
    found = evaluate.predictions(session, model, echo, features)
    assert found == [float(i) for i in range(150)]
    assert echo.sizes == [64, 64, 22]


def test_every_metric_of_the_task(session: Any) -> None:
    pairs = zip((0, 1, 0, 0), (0, 1, 1, 0), strict=True)
    features = [Feature({"input_ids": [first]}, label, float(label)) for first, label in pairs]
    echo: Any = Echo()
    found = evaluate.score(session, torch.nn.Linear(1, 1), tasks.get("mrpc"), echo, features)
    assert set(found) == set(tasks.get("mrpc").metrics)
    assert found["accuracy"] == 0.75
    assert found["f1"] == pytest.approx(2 / 3)
