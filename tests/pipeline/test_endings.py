"""Bilevel modes, budgets that cannot be, losses that are not numbers, and seeds of the search."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import peftsearch
from peftsearch import baselines, pipeline, race, retrain, training
from peftsearch.errors import BudgetError, ConfigError, DivergedError, StoppedError
from peftsearch.formats import TextToText
from peftsearch.search import hypergradient
from peftsearch.search.loop import Search
from peftsearch.strategies import priced
from tests.pipeline.material import Material, write_space

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
        tensors, steps = _search_only(material, tmp_path / mode, bilevel=mode, gate_every=1)
        alphas[mode] = tensors["gates/alphas"]
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
        train: Callable[[], Iterator[Tensor]], valid: Callable[[], Iterator[Tensor]], *rest: Any
    ) -> Sequence[Tensor]:
        draws.clear()
        twice = [[float(part.detach()) for part in train()] for _ in range(2)]
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
    assert bool(tensors["gates/alphas"].isfinite().all())
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

    with pytest.raises(DivergedError, match="diverged") as error:
        pipeline.run(material.config(), out=out, listener=listen)
    assert error.value.exit_code == 5
    assert error.value.hint
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["stages"][stage]["status"] == "running"
    monkeypatch.setattr(TextToText, "loss", plain)
    if stage != "search":  # with the cause gone, it can be resumed
        pipeline.run(material.config(), resume=out)


@pytest.mark.usefixtures("short")
def test_an_answer_that_cannot_be_given_is_found_before_any_training(
    material: Material, tmp_path: Path
) -> None:
    """Only the test split has it, which is read last."""
    data = tmp_path / "rated"
    data.mkdir()
    for name, labels in (("train", [0.0, 2.5, 5.0] * 30), ("validation", [1.0, 5.2])):
        rows = [json.dumps({"text": f"a dog {i}", "label": y}) for i, y in enumerate(labels)]
        (data / f"{name}.jsonl").write_text("\n".join(rows))
    task = tmp_path / "rated.yaml"
    task.write_text("kind: regression\ncolumns: [text]\nlabel_words: [0, 5]\n")
    events: list[Event] = []
    with pytest.raises(ConfigError, match=r"the label 5\.2 .* lies outside the answers 0 to 5"):
        pipeline.run(
            material.config(task=str(task), data=str(data)),
            out=tmp_path / "run",
            listener=events.append,
        )
    assert {event["stage"] for event in events} == {"prepare"}


def test_one_contestant_that_diverges_loses_and_the_run_goes_on(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole run with a prefix baseline whose loss is never a number."""
    only = {"uniform-lora": "lora", "uniform-prefix": "prefix"}
    monkeypatch.setattr(baselines, "UNIFORM", only)
    monkeypatch.setattr(priced, "liked", lambda values, fills: -math.inf)  # so that all race
    plain = training.train

    def train(session: Any, backbone: Any, *rest: Any) -> Any:
        job = rest[-1]
        if job.name == "uniform-prefix":
            raise DivergedError(f"{job.name} diverged at step 0.", "Start again.")
        return plain(session, backbone, *rest)

    monkeypatch.setattr(race, "train", train)
    monkeypatch.setattr(retrain, "train", train)
    out = tmp_path / "run"
    result = pipeline.run(material.config(trainings=20), out=out)
    rows = {row["name"]: row for row in json.loads((out / "race.json").read_text())["contestants"]}
    assert rows["uniform-prefix"]["score"] is None
    assert "diverged at step 0" in rows["uniform-prefix"]["diverged"]
    assert "uniform-lora" in result.summary["baselines"]
    assert "uniform-prefix" not in result.summary["baselines"]
    (alert,) = (a for a in result.summary["alerts"] if a["code"] == "diverged")
    assert "uniform-prefix diverged at step 0" in alert["text"]
    page = (out / "report/report.html").read_text(encoding="utf-8")
    assert "Not compared, since it diverged: uniform-prefix" in page


@pytest.mark.usefixtures("short")
def test_only_methods_of_the_space_race(material: Material, tmp_path: Path) -> None:
    adapters = {"method": "adapter", "sizes": [1, 2]}
    space = write_space(tmp_path / "adapters.yaml", "feed_forward", adapters)
    out = tmp_path / "run"
    config = material.config(space=str(space), trainings=20)
    result = pipeline.run(config, out=out)
    names = {row["name"] for row in json.loads((out / "race.json").read_text())["contestants"]}
    assert "gates-1" in names  # nine architectures at most: fewer proposals than asked for
    assert "uniform-lora" not in names
    assert "uniform-lora" in result.summary["baselines"]


@pytest.mark.usefixtures("short")
def test_results_of_another_training_are_not_taken_up(material: Material, tmp_path: Path) -> None:
    out = tmp_path / "run"
    pipeline.run(material.config(), out=out)
    before = json.loads((out / "retrain/seed-0/metrics.json").read_text())
    settings = (out / "config.yaml").read_text()
    (out / "config.yaml").write_text(settings.replace("  steps: 5\n", "  steps: 4\n"))
    pipeline.run_stage("retrain", out)
    after = json.loads((out / "retrain/seed-0/metrics.json").read_text())
    assert (before["steps"], after["steps"]) == (5, 4)
    assert before["fingerprint"] != after["fingerprint"]


def test_other_settings_on_resume_are_refused(material: Material, tmp_path: Path) -> None:
    def stop(record: Event) -> None:
        raise StoppedError(2, "enough")

    out = tmp_path / "run"
    with pytest.raises(StoppedError):
        pipeline.run(material.config(), out=out, listener=stop)
    with pytest.raises(ConfigError, match="seed: the run has 0, asked for is 1"):
        peftsearch.run(resume=out, seed=1)
