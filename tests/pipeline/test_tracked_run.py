"""Figures of a run in each tracker, offline, across an interruption, and without a secret."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from peftsearch import pipeline, tracking
from peftsearch.errors import ConfigError, MissingError, StoppedError
from peftsearch.rundir import RunDir
from tests.pipeline.material import Material

SECRET = "s3cret-that-nobody-may-write"
VARIABLES = ("HF_TOKEN", "WANDB_API_KEY", "MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY")


def stopping(step: int) -> Any:
    sent: list[bool] = []

    def listen(record: dict[str, Any]) -> None:
        if (record["stage"], record.get("step")) == ("search", step) and not sent:
            sent.append(True)
            os.kill(os.getpid(), signal.SIGTERM)

    return listen


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def tracked(material: Material, out: Path, tracker: str) -> None:
    """Stop a run at step 3 of the search, go on, and stop it again at step 6."""
    if find_spec(tracking.PACKAGES[tracker]) is None:
        pytest.skip(f"{tracker} is not installed")
    config = material.config(track=[tracker])
    for step in (3, 6):
        way = {"out" if step == 3 else "resume": out}
        config = replace(config, max_seconds=1000.0 + step)  # free to change on resume
        with pytest.raises(StoppedError):
            pipeline.run(config, listener=stopping(step), **way)
    for path in out.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


@pytest.mark.usefixtures("offline")
@pytest.mark.filterwarnings("default")
def test_tensorboard(material: Material, tmp_path: Path) -> None:
    tracked(material, tmp_path / "run", "tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(tmp_path / "run" / "track" / "peftsearch"))
    read.Reload()
    wanted = {"train_loss", "valid_loss", "entropy", "expected_cost", "price"}
    assert {f"search/{name}" for name in wanted} <= set(read.Tags()["scalars"])
    steps = [event.step for event in read.Scalars("search/train_loss")]
    assert steps == list(range(1, 7))
    logged = [
        json.loads(line)["train_loss"]
        for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()
        if '"train_loss"' in line
    ]
    values = [event.value for event in read.Scalars("search/train_loss")]
    assert values == pytest.approx(logged, rel=1e-6)


@pytest.mark.usefixtures("offline")
@pytest.mark.filterwarnings("default")
def test_mlflow(material: Material, tmp_path: Path) -> None:
    tracked(material, tmp_path / "run", "mlflow")
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'run' / 'track' / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'peftsearch'")
    (run,) = client.search_runs([experiment.experiment_id])  # resumed, not another one
    assert run.data.params["search.steps"] == "8"
    history = client.get_metric_history(run.info.run_id, "search/train_loss")
    assert [metric.step for metric in history] == list(range(1, 7))


@pytest.mark.usefixtures("offline")
@pytest.mark.filterwarnings("default")
def test_wandb(material: Material, tmp_path: Path) -> None:
    tracked(material, tmp_path / "run", "wandb")
    files = list((tmp_path / "run" / "track" / "wandb").rglob("run-*.wandb"))
    assert len(files) == 2  # one for each start; wandb sync puts them together by their id
    assert len({path.stem for path in files}) == 1
    content = b"".join(path.read_bytes() for path in files)
    assert b"search/train_loss" in content
    assert b"search/entropy" in content


def test_a_tracker_that_fails_later_does_not_end_the_run(tmp_path: Path) -> None:
    class Broken:
        name = "mlflow"

        def log(self, values: dict[str, float], step: int) -> None:
            raise ConnectionError("the server is gone\nat line 7")

    said: list[str] = []
    followed = tracking.Tracking.__new__(tracking.Tracking)
    followed.accelerator, followed.tell = SimpleNamespace(trackers=[Broken()]), said.append
    event = {"stage": "search", "event": "step", "step": 1, "steps": 2, "train_loss": 1.0}
    followed(event)
    followed(event)
    assert said == ["mlflow is followed no more: the server is gone"]


def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch, material: Material) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingError, match="the package wandb is not installed") as error:
        pipeline.run(material.config(track=["wandb"]), out=Path("nowhere"))
    assert (error.value.exit_code, error.value.hint) == (3, 'pip install "peftsearch[track]"')
    assert not Path("nowhere").exists()


def test_a_tracker_that_is_not_known(material: Material) -> None:
    with pytest.raises(ConfigError, match='track "tensorbord" is not known') as error:
        material.config(track=["tensorbord"])
    assert "tensorboard" in error.value.hint


def test_names_of_figures() -> None:
    event = {"time": "now", "stage": "discretise", "event": "step", "name": "gates-1", "step": 3,
             "steps": 5, "train_loss": 0.5}  # fmt: skip
    assert tracking.step_figures(event) == {"race/gates-1/train_loss": 0.5}
    measured = {"stage": "discretise", "event": "measure", "step": 1, "steps": 4, "loss": 2.0}
    assert tracking.step_figures(measured) == {"measure/loss": 2.0}


def test_scores_of_finished_stages(finished: Path) -> None:
    run = RunDir(finished, lock=False)
    race = json.loads((finished / "race.json").read_text())
    scores = tracking.stage_figures("discretise", run)
    assert len(scores) == len(race["contestants"])
    assert scores[f"race/{race['winner']}/score"] == race["contestants"][0]["score"]
    summary = json.loads((finished / "summary.json").read_text())
    assert tracking.stage_figures("retrain", run) == {
        "retrain/found/score": summary["found"]["mean"]
    }
    others = tracking.stage_figures("baselines", run)
    assert others == {
        f"baselines/{name}/score": each["mean"] for name, each in summary["baselines"].items()
    }


def test_hyperparameters_hold_no_password(material: Material) -> None:
    config = material.config()
    found = tracking.hyperparameters(config)
    assert found["search.steps"] == 8
    given = replace(config, model=f"https://me:{SECRET}@example.org/model?token={SECRET}")
    assert tracking.hyperparameters(given)["model"] == "https://example.org/model"
