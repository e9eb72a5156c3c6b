"""A study that is stopped and killed ends as one that never was; nothing is lost or doubled."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from peftsearch.errors import ConfigError, DivergedError, MissingError, StoppedError
from peftsearch.tune import campaign, results
from peftsearch.tune.results import rows_of
from tests.tune.material import begun, outcome, plan, team, wait_for, worker

TRIALS = 14  # four of them after the random ones with which TPE begins


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """What the study decides when nothing stops it."""
    out = tmp_path_factory.mktemp("study") / "out"
    (desk,) = campaign.work(team(out), [plan(TRIALS)])
    found = outcome(desk)
    assert {row[1] for row in found} == {"complete", "pruned"}
    return found


def test_killed_stopped_and_resumed(
    storage: str, tmp_path: Path, uninterrupted: list[tuple[Any, ...]]
) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    environ = {"STUB_SLEEP": "0.2", "STUB_LOG": str(log)}
    for trial, number in ((3, signal.SIGKILL), (11, signal.SIGTERM)):
        with worker(out, storage, TRIALS, "--member", **environ) as process:
            wait_for(lambda trial=trial: ("begin", trial) in begun(log), process)
            process.send_signal(number)
            _, said = process.communicate(timeout=300)
        assert process.returncode == (-number if number == signal.SIGKILL else 128 + number), said
    assert "Continue with:\n  peftsearch tune" in said
    assert (out / "best.yaml").is_file()  # what there is so far
    (desk,) = campaign.work(team(out, storage), [plan(TRIALS)])
    assert outcome(desk) == uninterrupted
    attempts = {row.number: row.attempts for row in rows_of(desk) if row.attempts}
    assert attempts == {3: ("its worker was lost",)}  # the one that was stopped did not fail
    words = Counter(begun(log))
    assert words["begin", 3] == 2
    assert words["begin", 11] == 1  # the third time is in this process, which keeps no log


def test_more_trials_later_are_the_same_trials(
    tmp_path: Path, uninterrupted: list[tuple[Any, ...]]
) -> None:
    """The sampler does not draw its first trials again, and fewer is less of the same."""
    for trials in (5, TRIALS):
        (desk,) = campaign.work(team(tmp_path / "out"), [plan(trials)])
        assert outcome(desk) == uninterrupted[:trials]
    drawn = [tuple(row[3].values()) for row in uninterrupted]
    assert len(set(drawn)) == TRIALS


def test_stopped_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_SLEEP", "30")
    with pytest.raises(StoppedError, match="max-seconds") as stopped:
        campaign.work(team(tmp_path / "out"), [plan(3)], 1.0)
    assert stopped.value.exit_code == 143
    monkeypatch.delenv("STUB_SLEEP")
    (desk,) = campaign.work(team(tmp_path / "out"), [plan(3)])
    assert Counter(row.attempts for row in rows_of(desk)) == {(): 3}


def test_failures_have_reasons_and_the_study_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: list[tuple[Any, ...]]
) -> None:
    """Divergence is final; full memory and a dead process are tried again up to the limit."""
    log = tmp_path / "log"
    monkeypatch.setenv("STUB_LOG", str(log))
    monkeypatch.setenv("STUB_FAIL", "0:diverge,1:oom,2:die")
    (desk,) = campaign.work(team(tmp_path / "out", attempts=2), [plan(5)])
    states = [row.state for row in rows_of(desk)]
    assert states[:3] == ["failed"] * 3
    assert Counter(begun(log))["begin", 0] == 1
    assert Counter(begun(log))["begin", 1] == Counter(begun(log))["begin", 2] == 2
    reasons = [row.reason for row in rows_of(desk)]
    assert "diverged" in reasons[0]
    assert "memory" in reasons[1]
    assert "killed by signal 9" in reasons[2]
    monkeypatch.delenv("STUB_FAIL")
    (desk,) = campaign.work(team(tmp_path / "out"), [plan(6)])  # failed ones stay failed
    assert [row.state for row in rows_of(desk)][:3] == ["failed"] * 3
    assert [row[3] for row in outcome(desk)] == [row[3] for row in uninterrupted[:6]]


def test_what_every_trial_lacks_ends_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_FAIL", "0:missing")
    with pytest.raises(MissingError, match="no such model"):
        campaign.work(team(tmp_path / "out"), [plan(2)])
    monkeypatch.delenv("STUB_FAIL")
    (desk,) = campaign.work(team(tmp_path / "out"), [plan(2)])
    assert [row.state for row in rows_of(desk)] == ["complete"] * 2


def test_a_study_without_a_score_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_FAIL", "0:diverge,1:diverge")
    crew = team(tmp_path / "out")
    desks = campaign.work(crew, [plan(2)])
    with pytest.raises(DivergedError, match="None of 2 trials"):
        campaign.finish(crew, desks)


def test_two_studies_in_one_storage(storage: str, tmp_path: Path) -> None:
    found = {}
    for name in ("one", "two"):
        own = plan(4, name=name, base=plan().base if name == "one" else _seeded(1))
        (desk,) = campaign.work(team(tmp_path / name, storage), [own])
        found[name] = outcome(desk)
    (again,) = campaign.work(team(tmp_path / "one", storage), [plan(4, name="one")])
    assert outcome(again) == found["one"]
    assert [row[3] for row in found["one"]] != [row[3] for row in found["two"]]
    with pytest.raises(ConfigError, match="begun with other settings") as refused:
        campaign.work(team(tmp_path / "one", storage), [plan(4, name="one", sampler="random")])
    assert "sampler: the study has" in refused.value.message
    with pytest.raises(ConfigError, match="belongs to the study one"):
        campaign.work(team(tmp_path / "one", storage), [plan(4, name="two")])


def _seeded(seed: int) -> Any:
    from peftsearch import config as configuration

    return configuration.resolve(flags={"seed": seed})


def test_two_objectives(tmp_path: Path) -> None:
    crew = team(tmp_path / "out")
    desks = campaign.work(crew, [plan(6, objectives=("score", "parameters"), pruner="none")])
    found = campaign.finish(crew, desks)
    rows = [row for row in rows_of(desks[0]) if row.state == "complete"]
    assert len(rows) == 6
    brute = {
        r.number
        for r in rows
        if not any(
            (o.score >= r.score and o.num_params <= r.num_params)
            and (o.score, o.num_params) != (r.score, r.num_params)
            for o in rows
        )
    }
    assert {row["trial"] for row in found["front"]} == brute
    assert {int(p.stem) for p in (tmp_path / "out/pareto").glob("*.yaml")} == brute
    optuna_says = {trial.number for trial in desks[0].study.best_trials}
    assert optuna_says == brute


def test_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from peftsearch.cli.checking import validate

    monkeypatch.setattr(campaign, "UNIFORM", {"uniform-lora": "lora"})
    assert "were not tuned" in results.fairness([{"seconds": 1.0}])
    crew = team(tmp_path / "out")
    desks = campaign.work(crew, [plan(6), *campaign.baselines_of(plan(2))])
    found = campaign.finish(crew, desks)
    out = tmp_path / "out"
    assert json.loads((out / "tune.json").read_text()) == json.loads(json.dumps(found))
    best = max((r for r in rows_of(desks[0]) if r.state == "complete"), key=lambda r: r.score or -9)
    assert found["best"]["trial"] == best.number == desks[0].study.best_trial.number
    checked = validate(out / "best.yaml")
    assert (checked.kind, checked.problems) == ("configuration", ())
    settings = yaml.safe_load((out / "best.yaml").read_text())
    assert settings["search"]["arch_lr"] == best.params["search.arch_lr"]
    assert len((out / "trials.csv").read_text().splitlines()) == 7
    page = (out / "report" / "tune.html").read_text()
    assert "<script" not in page
    assert "retrain.weight_decay" in page
    assert set(found["baselines"]) == {d.plan.baseline for d in desks[1:]}
    assert "not as many seconds" in found["fairness"]
    assert (out / "baselines" / "uniform-lora" / "best.yaml").is_file()
    shares = (out / "report" / "tables" / "importance.csv").read_text().splitlines()[1:]
    assert sum(float(line.split(",")[1]) for line in shares) == pytest.approx(1.0, abs=1e-6)
