"""The headline and the alerts of runs made up for it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from peftsearch.architecture import Architecture, Choice
from peftsearch.rundir import STAGES, write_json, write_text
from peftsearch.summary import summarise

LORA = Choice("encoder.00.attention", "lora", 4, ("q", "v"), 900)
ADAPTER = Choice("encoder.00.feed_forward", "adapter", 2, ("down",), 80)
EMPTY = Choice("encoder.00.feed_forward")
RACED = {"name": "gates-1", "source": "gates", "num_params": 980, "steps": 10, "score": 0.5}


def entry(*values: float, num_params: int = 980) -> dict[str, Any]:
    """Return the content of a ``metrics.json`` over seeds."""
    n = len(values)
    mean = sum(values) / n
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1)) if n > 1 else None
    return {"mean": mean, "sd": spread, "n": n, "values": list(values), "num_params": num_params}


def make(
    run: Path,
    *,
    found: dict[str, Any],
    baselines: dict[str, dict[str, Any]],
    choices: tuple[Choice, ...] = (LORA, ADAPTER),
    winner: str = "gates",
    max_cost: int = 50_000,
    top: float = 0.8,
    contestants: list[dict[str, Any]] | None = None,
    certainty: tuple[float, ...] = (),
) -> Path:
    """Write the files of a finished run."""
    write_text(run / "config.yaml", "{seed: 7, strategy: priced, trainings: 4}\n")
    architecture = Architecture("micro-t5", "micro-nli", 100_000, "1%", 1000, choices)
    architecture.save(run / "architecture.json")
    stage = {"status": "done", "seconds": 2.0, "steps": 5, "peak_bytes": 10**6}
    write_json(run / "manifest.json", {"stages": {name: stage for name in STAGES}})
    sites = {"backbone_parameters": 100_000, "head_parameters": 12, "max_cost": max_cost}
    write_json(run / "sites.json", sites)
    race = {"metric": "accuracy", "winner": winner, "trainings": 2.5}
    race["contestants"] = [{**RACED, **row} for row in contestants or [{}, {}, {}]]
    race["certainty"] = [{"site": LORA.site, "share": share} for share in certainty]
    write_json(run / "race.json", race)
    measured = {"chance": 0.5, "samples": [{"score": 0.4}, {"score": top}]}
    write_json(run / "search" / "measured.json", measured)
    write_json(run / "retrain" / "metrics.json", found)
    for seed in range(found["n"]):
        write_json(run / "retrain" / f"seed-{seed}" / "metrics.json", {"seconds": 1.0 + seed})
    for name, scores in baselines.items():
        write_json(run / "baselines" / name / "metrics.json", scores)
        uniform = (LORA, EMPTY) if name == "uniform-lora" else (Choice(LORA.site), ADAPTER)
        other = Architecture("micro-t5", "micro-nli", 100_000, "1%", 1000, uniform)
        other.save(run / "baselines" / name / "architecture.json")
    good = {"target": "native", "verified": True, "max_logit_difference": 0.0, "tolerance": 1e-5}
    write_json(run / "export" / "native" / "check.json", good)
    bad = {"target": "peft", "verified": False, "problems": [{"site": "x", "reason": "two"}]}
    write_json(run / "export" / "peft.json", bad)
    return run


def codes(summary: dict[str, Any]) -> set[str]:
    """Return the codes of the alerts."""
    return {alert["code"] for alert in summary["alerts"]}


GOOD = entry(0.90, 0.91, 0.92)
WORSE = entry(0.80, 0.81, 0.82)


def test_found_is_better(tmp_path: Path) -> None:
    baselines = {"uniform-lora": WORSE, "random-1": entry(0.7, 0.71, 0.72)}
    summary = summarise(make(tmp_path, found=GOOD, baselines=baselines))
    assert summary["headline"] == (
        "Found: 91.0 % ± 1.0 (n = 3) with 980 of 1,000 parameters; "
        "best baseline uniform-lora 81.0 % ± 1.0 (n = 3)."
    )
    assert summary["alerts"] == []
    assert summary["found"] == GOOD
    assert summary["baselines"] == baselines


def test_the_form_of_the_contract(tmp_path: Path) -> None:
    summary = summarise(make(tmp_path, found=GOOD, baselines={"uniform-lora": WORSE}))
    assert summary["budget"] == {
        "requested": "1%",
        "limit": 1000,
        "used": 980,
        "denominator": 100_000,
        "head": 12,
    }
    heads = ("format", "model", "task", "metric", "higher_is_better", "search_seed")
    assert [summary[key] for key in heads] == [1, "micro-t5", "micro-nli", "accuracy", True, 7]
    assert summary["race"] == {
        "winner": "gates",
        "contestants": [RACED] * 3,
        "trainings": 2.5,
        "limit": 4,
    }
    assert summary["exports"] == {
        "native": {"verified": True, "max_logit_difference": 0.0},
        "peft": {"verified": False, "problems": [{"site": "x", "reason": "two"}]},
    }
    assert set(summary["cost"]["seconds"]) == set(STAGES)
    assert summary["cost"]["single_training_seconds"] == 2.0
    assert summary["cost"]["single_trainings"] == 2.0  # search and discretise, 2 s each


def test_a_baseline_won(tmp_path: Path) -> None:
    summary = summarise(make(tmp_path, found=WORSE, baselines={"random-1": GOOD}))
    assert summary["headline"].startswith("A baseline won: random-1 91.0 % ± 1.0 (n = 3); ")
    assert codes(summary) == {"baseline_won"}


def test_a_best_baseline_that_cannot_be_exported(tmp_path: Path) -> None:
    marked = {**WORSE, "not_exportable_to": ["peft"]}
    baselines = {"uniform-lora": marked, "random-1": entry(0.7, 0.71, 0.72)}
    summary = summarise(make(tmp_path / "a", found=GOOD, baselines=baselines))
    assert summary["baselines"]["uniform-lora"]["not_exportable_to"] == ["peft"]
    (alert,) = summary["alerts"]
    assert alert["code"] == "baseline_not_exportable"
    assert "the best baseline uniform-lora was not" in alert["text"]
    assert alert["text"].endswith("The best baseline that can: random-1 with 71.0 % ± 1.0 (n = 3).")
    baselines["random-1"] = entry(0.85, 0.86, 0.87)
    assert summarise(make(tmp_path / "b", found=GOOD, baselines=baselines))["alerts"] == []


@pytest.mark.parametrize("better", [True, False])
def test_within_noise(tmp_path: Path, better: bool) -> None:
    a, b = entry(0.90, 0.92, 0.94), entry(0.89, 0.91, 0.93)
    found, baseline = (a, b) if better else (b, a)
    summary = summarise(make(tmp_path, found=found, baselines={"uniform-lora": baseline}))
    assert "within_noise" in codes(summary)
    assert ("baseline_won" in codes(summary)) is not better
    (text,) = [a["text"] for a in summary["alerts"] if a["code"] == "within_noise"]
    sign = "+" if better else "-"
    assert f"({sign}1.0 points) is within two standard errors (3.3 points, n = 3)" in text


def test_the_uniform_architecture_won_the_race(tmp_path: Path) -> None:
    run = make(
        tmp_path,
        found=GOOD,
        baselines={"uniform-lora": GOOD},
        choices=(LORA, EMPTY),
        winner="uniform-lora",
    )
    summary = summarise(run)
    assert summary["headline"].startswith("The uniform architecture uniform-lora won the race: ")
    assert codes(summary) == {"uniform_won_race", "one_method_only"}


@pytest.mark.parametrize(
    ("certainty", "alerted"),
    [((), False), ((0.9, 0.8), False), ((0.9, 0.4), False), ((0.4, 0.3, 0.9), True)],
)
def test_the_architecture_is_uncertain(
    tmp_path: Path, certainty: tuple[float, ...], alerted: bool
) -> None:
    make(tmp_path, found=entry(0.8, 0.82), baselines={}, certainty=certainty)
    codes = [alert["code"] for alert in summarise(tmp_path)["alerts"]]
    assert ("architecture_uncertain" in codes) == alerted


def test_one_seed(tmp_path: Path) -> None:
    summary = summarise(make(tmp_path, found=entry(0.9), baselines={"random-1": entry(0.8)}))
    assert codes(summary) == {"one_seed"}
    assert "90.0 % (n = 1)" in summary["headline"]


@pytest.mark.parametrize(("max_cost", "binds"), [(1001, True), (1000, False), (999, False)])
def test_the_budget_does_not_bind(tmp_path: Path, max_cost: int, binds: bool) -> None:
    run = make(tmp_path, found=GOOD, baselines={"random-1": WORSE}, max_cost=max_cost)
    assert ("budget_not_binding" in codes(summarise(run))) is not binds


@pytest.mark.parametrize(("top", "learned"), [(0.53, True), (0.51, False), (0.3, False)])
def test_the_supernet_learned_nothing(tmp_path: Path, top: float, learned: bool) -> None:
    run = make(tmp_path, found=GOOD, baselines={"random-1": WORSE}, top=top)
    assert ("supernet_learned_nothing" in codes(summarise(run))) is not learned


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ([{"5": 0.7}, {"5": 0.6}, {"5": 0.6, "10": 0.5}, {}], True),
        ([{"5": 0.7}, {"5": 0.6}, {}, {}], False),
        ([{"5": 0.7}, {"5": 0.6}, {"5": 0.6}, {}], False),  # the third learned later on
    ],
)
def test_the_race_learned_nothing(
    tmp_path: Path, losses: list[dict[str, float]], said: bool
) -> None:
    rows = [
        {"name": f"gates-{i}", "steps": 5 if i < 2 else 10, "score": 0.5, "losses_of_constant": one}
        for i, one in enumerate(losses)
    ]
    run = make(tmp_path, found=GOOD, baselines={"random-1": WORSE}, contestants=rows)
    assert ("race_learned_nothing" in codes(summarise(run))) is said


def test_nothing_chosen(tmp_path: Path) -> None:
    nothing = (Choice(LORA.site), EMPTY)
    run = make(tmp_path, found=GOOD, baselines={"random-1": WORSE}, choices=nothing)
    assert codes(summarise(run)) == {"nothing_chosen"}


def test_without_baselines(tmp_path: Path) -> None:
    summary = summarise(make(tmp_path, found=GOOD, baselines={}))
    assert summary["headline"] == (
        "Found: 91.0 % ± 1.0 (n = 3) with 980 of 1,000 parameters; no baseline fits the budget."
    )
    assert summary["alerts"] == []


def test_every_baseline_diverged(tmp_path: Path) -> None:
    run = make(tmp_path, found=GOOD, baselines={"uniform-lora": WORSE})
    folder = run / "baselines/uniform-lora"
    (folder / "metrics.json").rename(folder / "diverged.json")
    write_json(folder / "diverged.json", {"message": "uniform-lora diverged at step 3."})
    summary = summarise(run)
    assert summary["headline"].endswith("; every baseline diverged.")
    assert "diverged" in codes(summary)
