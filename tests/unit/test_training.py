"""The training loop: schedule, groups, micro-batches, and the budget it will not exceed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from peftsearch import testing, training
from peftsearch.backbones.base import wrap
from peftsearch.catalogue import method_facts
from peftsearch.config import RunConfig
from peftsearch.errors import BudgetError
from tests.models import FACTORIES


@pytest.mark.parametrize(
    ("steps", "warmup"), [(1, 0.0), (1, 0.5), (10, 0.0), (100, 0.06), (7, 0.9)]
)
def test_the_schedule_rises_and_falls(steps: int, warmup: float) -> None:
    factors = [training.schedule(step, steps, warmup) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    peak = factors.index(max(factors))
    assert factors[:peak] == sorted(factors[:peak])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert factors[-1] <= max(0.5, 1 / max(1, steps - round(steps * warmup))) or steps == 1


def test_every_method_has_its_own_rate() -> None:
    backbone = wrap("test", FACTORIES["bert"]())
    config = replace(RunConfig(), learning_rates={"lora": 0.123})
    weights = {name: [torch.nn.Parameter(torch.zeros(1))] for name in ("lora", "prefix")}
    groups = training.parameter_groups(config, weights, backbone)
    rates = [group["base_lr"] for group in groups]
    assert rates == [0.123, method_facts()["prefix"].learning_rate, config.retrain.head_lr]
    head = {id(p) for n, p in backbone.model.named_parameters() if n.startswith("classifier")}
    assert {id(p) for p in groups[-1]["params"]} == head
    optimiser = training.make_optimiser(config, groups)
    training.set_rates(optimiser, 0.5)
    assert [g["lr"] for g in optimiser.param_groups] == [rate / 2 for rate in rates]


def test_nothing_over_the_budget_is_trained(tmp_path: Path) -> None:
    backbone = wrap("test", FACTORIES["t5"]())
    choices = testing.choices_for(backbone, "lora")
    architecture = testing.architecture_of(backbone, choices)
    architecture = replace(architecture, limit=architecture.limit - 1)
    job = training.Job("x", "retrain", architecture, 1, 0, tmp_path / "checkpoint")
    names = [name for name, _ in backbone.model.named_parameters()]
    session: Any = None
    with pytest.raises(BudgetError, match="exceed the budget") as error:
        training.train(session, backbone, session, [], job)
    assert error.value.exit_code == 4
    assert [name for name, _ in backbone.model.named_parameters()] == names


def test_the_hint_of_a_divergence_names_the_highest_rate() -> None:
    config = replace(RunConfig(), learning_rates={"lora": 3e-3})
    assert "learning_rates.prefix=1e-02" in training.divergence_hint(config, ("lora", "prefix"))
    assert "learning_rates.lora=1e-03" in training.divergence_hint(config, ("lora",))
    assert "retrain.head_lr" in training.divergence_hint(config, ())
