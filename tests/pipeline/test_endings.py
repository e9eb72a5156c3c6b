"""Bilevel modes, budgets that cannot be, losses that are not numbers, and seeds of the search."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import peftsearch
from peftsearch import pipeline
from peftsearch.errors import BudgetError, ConfigError, DivergedError, StoppedError
from peftsearch.formats import TextToText
from peftsearch.search import hypergradient
from peftsearch.search.loop import Search
from tests.pipeline.material import Material

Event = dict[str, Any]


def _search_only(
    material: Material, out: Path, **search: Any
) -> tuple[dict[str, Tensor], list[Event]]:
    """Run until the search is done; return its tensors and its events."""
    events: list[Event] = []

    class Enough(Exception):
        """The search is over."""

    def listen(record: Event) -> None:
        events.append(record)
        if (record["stage"], record["event"]) == ("search", "finish"):
            raise Enough

    with pytest.raises(Enough):
        pipeline.run(material.config(search=search), out=out, listener=listen)
    steps = [e for e in events if e["stage"] == "search" and e["event"] == "step"]
    return load_file(out / "search/checkpoint.safetensors"), steps


@pytest.mark.usefixtures("short")
def test_the_bilevel_modes_differ(material: Material, tmp_path: Path) -> None:
    alphas = {}
    for mode in ("first", "second", "single"):
        tensors, steps = _search_only(material, tmp_path / mode, bilevel=mode)
        alphas[mode] = tensors["alphas"]
        assert len(steps) == 8
        assert [e["phase"] for e in steps] == ["warmup"] * 2 + ["search"] * 6
        assert all((e["valid_loss"] is None) == (e["phase"] == "warmup") for e in steps)
        assert bool(alphas[mode].isfinite().all())
        assert bool(alphas[mode].any())
        # Until the gates move all modes see the same: the warm-up is common.
        alphas[f"{mode} warm-up"] = torch.tensor([e["train_loss"] for e in steps[:2]])
    for one, two in (("first", "second"), ("first", "single"), ("second", "single")):
        assert not torch.equal(alphas[one], alphas[two])
        assert torch.equal(alphas[f"{one} warm-up"], alphas[f"{two} warm-up"])


@pytest.mark.usefixtures("short")
def test_every_loss_of_a_gate_step_sees_the_same_random_numbers(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Choices and dropout agree over the four passes of a step, and differ between steps."""
    draws: list[float] = []
    steps: list[list[float]] = []
    plain_loss, plain_second = TextToText.loss, hypergradient.second_order

    def loss(self: TextToText, model: Any, batch: dict[str, Tensor]) -> Tensor:
        draws.append(float(torch.rand(())))
        return plain_loss(self, model, batch)

    def second(
        train: Callable[[], Tensor], valid: Callable[[], Tensor], *rest: Any
    ) -> Sequence[Tensor]:
        draws.clear()
        twice = [float(train().detach()) for _ in range(2)]
        assert twice[0] == twice[1], "dropout or the choices were drawn anew"
        found = plain_second(train, valid, *rest)
        steps.append(list(draws))
        return found

    monkeypatch.setattr(TextToText, "loss", loss)
    monkeypatch.setattr(hypergradient, "second_order", second)
    _search_only(material, tmp_path / "run", bilevel="second", steps=5)
    assert len(steps) == 3
    for drawn in steps:
        assert len(drawn) == 6  # twice by this test, four times by the finite differences
        assert len(set(drawn)) == 1
    assert len({drawn[0] for drawn in steps}) == len(steps)


@pytest.mark.usefixtures("short")
def test_a_gate_step_leaves_the_weights_alone(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, moved = Search._gate_step, []

    def guarded(self: Search, *args: Any) -> float:
        before = {name: p.detach().clone() for name, p in self.named.items()}
        alphas = self.supernet.gates.alphas.detach().clone()
        found = plain(self, *args)
        assert all(torch.equal(p, before[name]) for name, p in self.named.items())
        assert all(p.grad is None for p in self.named.values())
        moved.append(not torch.equal(self.supernet.gates.alphas, alphas))
        return found

    monkeypatch.setattr(Search, "_gate_step", guarded)
    _search_only(material, tmp_path / "second", bilevel="second", steps=4)
    _search_only(material, tmp_path / "first", bilevel="first", steps=4)
    assert moved == [True, True, True] * 2


@pytest.mark.usefixtures("short")
def test_several_architectures_in_a_batch_and_accumulation(
    material: Material, tmp_path: Path
) -> None:
    tensors, _ = _search_only(material, tmp_path / "run", architectures_per_batch=3)
    assert bool(tensors["alphas"].isfinite().all())
    out = tmp_path / "accumulated"
    pipeline.run(material.config(accumulation=2), out=out)
    assert (out / "summary.json").is_file()


def test_an_impossible_budget_ends_before_any_training(material: Material, tmp_path: Path) -> None:
    events: list[Event] = []
    with pytest.raises(BudgetError, match="smaller than the cheapest candidate") as error:
        pipeline.run(material.config(budget="3"), out=tmp_path / "run", listener=events.append)
    assert error.value.exit_code == 4
    assert {event["stage"] for event in events} == {"prepare"}
    with pytest.raises(BudgetError):
        pipeline.plan(material.config(budget="3"))


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("stage", ["search", "discretise", "retrain"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_a_number(
    stage: str, value: float, material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [""]
    plain = TextToText.loss

    def loss(self: TextToText, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        found = plain(self, model, batch)
        training = found.requires_grad
        return found * value if now[0] == stage and training else found

    monkeypatch.setattr(TextToText, "loss", loss)
    out = tmp_path / "run"

    def listen(record: Event) -> None:
        now[0] = record["stage"]

    with pytest.raises(DivergedError, match="diverged at step 0") as error:
        pipeline.run(material.config(), out=out, listener=listen)
    assert error.value.exit_code == 5
    assert error.value.hint
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["stages"][stage]["status"] == "running"
    monkeypatch.setattr(TextToText, "loss", plain)
    if stage != "search":  # with the cause gone, it can be resumed
        pipeline.run(material.config(), resume=out)


def test_other_settings_on_resume_are_refused(material: Material, tmp_path: Path) -> None:
    def stop(record: Event) -> None:
        raise StoppedError(2, "enough")

    out = tmp_path / "run"
    with pytest.raises(StoppedError):
        pipeline.run(material.config(), out=out, listener=stop)
    with pytest.raises(ConfigError, match="seed: the run has 0, asked for is 1"):
        peftsearch.run(resume=out, seed=1)
