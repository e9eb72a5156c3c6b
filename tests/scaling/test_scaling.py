"""Predictions against figures computed by hand, and against a simulated queue."""

from __future__ import annotations

import heapq
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftsearch.cli.scaling import duration, without_scale
from peftsearch.errors import ConfigError
from peftsearch.rundir import STAGES
from peftsearch.scaling import Measured, predict, read_measured
from peftsearch.scaling.prediction import STORAGE_BYTES, STORAGE_WRITES


def test_by_hand() -> None:
    """500 trials on 64 devices: 8 rounds of 90 s."""
    found = predict(Measured("here", (80.0, 100.0), steps=5, run_bytes=1000), 64, 500)
    assert found["workers"] == 64
    assert found["wall_seconds"] == 8 * 90
    assert found["wall_seconds_at_least"] == 703.125  # 45,000 s over 64 devices
    assert found["wall_seconds_at_most"] == pytest.approx(703.125 + 63 / 64 * 100, abs=1e-3)
    assert found["device_hours"] == 12.5
    assert found["disk_bytes"] == 500_000
    size = STORAGE_BYTES["sqlite"]
    assert found["storage"]["sqlite"] == {
        "written_bytes": 500 * size,
        "read_bytes": 64 * 500 * size,
        "writes_per_second": round(500 * STORAGE_WRITES / 720, 3),
    }
    assert found["measured"]["seconds_sd"] == 14.142


def test_more_devices_than_trials() -> None:
    found = predict(Measured("here", (10.0,)), 64, 3)
    assert (found["workers"], found["wall_seconds"], found["disk_bytes"]) == (3, 10.0, None)
    assert found["wall_seconds_at_least"] == 10.0
    assert found["measured"]["seconds_sd"] is None


@given(
    seconds=st.lists(st.floats(1, 100), min_size=1, max_size=30),
    devices=st.integers(1, 12),
)
def test_the_bounds_hold_for_every_queue(seconds: list[float], devices: int) -> None:
    """Trials are taken in their order by whichever device is free first."""
    found = predict(Measured("here", tuple(seconds)), devices, len(seconds))
    free = [0.0] * devices
    for each in seconds:
        heapq.heappush(free, heapq.heappop(free) + each)
    slack = 2e-3  # figures are rounded to a thousandth
    assert found["wall_seconds_at_least"] - slack <= max(free)
    assert max(free) <= found["wall_seconds_at_most"] + slack
    assert found["wall_seconds_at_least"] <= found["wall_seconds"] + slack
    assert found["wall_seconds"] <= found["wall_seconds_at_most"] + slack


def test_equal_trials_take_what_is_predicted() -> None:
    free = [0.0] * 3
    for _ in range(8):
        heapq.heappush(free, heapq.heappop(free) + 7.0)
    assert predict(Measured("here", (7.0,)), 3, 8)["wall_seconds"] == max(free) == 21.0


def finished(run: Path, seconds: float, status: str = "done") -> None:
    """Write what is read of a run: every stage takes a seventh, and 2 steps."""
    run.mkdir(parents=True)
    entry = {"status": status, "seconds": 0.0, "steps": 0, "peak_bytes": 0}
    manifest = {"format": 1, "stages": dict.fromkeys(STAGES, entry)}
    (run / "manifest.json").write_text(json.dumps(manifest))
    cost = {"seconds": dict.fromkeys(STAGES, seconds / 7), "steps": dict.fromkeys(STAGES, 2)}
    (run / "summary.json").write_text(json.dumps({"cost": cost}))


def test_a_run_is_measured_by_its_stages(tmp_path: Path) -> None:
    run = tmp_path / "run"
    finished(run, 70.0)
    found = read_measured(run)
    assert found.seconds == pytest.approx((70.0,))
    assert (found.steps, found.started) == (14, False)
    assert found.stages == dict.fromkeys(STAGES, 10.0)
    whole = sum(path.stat().st_size for path in run.iterdir())
    assert found.run_bytes == whole


def test_a_sweep_is_measured_by_its_processes(tmp_path: Path) -> None:
    for name, seconds in (("a", 70.0), ("b", 140.0)):
        finished(tmp_path / "runs" / name, seconds)
        (tmp_path / "records").mkdir(exist_ok=True)
        (tmp_path / "records" / f"{name}.json").write_text(json.dumps({"seconds": seconds + 5}))
    finished(tmp_path / "runs" / "c", 1.0, status="running")
    found = read_measured(tmp_path)
    assert found.seconds == (75.0, 145.0)
    assert found.started
    (tmp_path / "records" / "a.json").unlink()
    assert read_measured(tmp_path).seconds == pytest.approx((70.0, 140.0))


def test_a_study_is_measured_by_its_trials(tmp_path: Path) -> None:
    text = "trial,state,score,seconds\n0,complete,0.5,12.5\n1,failed,,3\n2,pruned,0.4,7.5\n"
    (tmp_path / "trials.csv").write_text(text)
    found = read_measured(tmp_path)
    assert found.seconds == (12.5, 7.5)
    assert found.run_bytes == len(text) // 2
    (tmp_path / "trials.csv").write_text("trial,state,score,seconds\n")
    with pytest.raises(ConfigError, match="no finished trial"):
        read_measured(tmp_path)


def test_nothing_finished_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no finished run"):
        read_measured(tmp_path)
    finished(tmp_path / "a", 1.0, status="running")
    with pytest.raises(ConfigError, match="no finished run; 1 unfinished"):
        read_measured(tmp_path)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(7.4, "7 s"), (119, "119 s"), (180, "3 min"), (7190, "2 h 0 min"), (3600 * 30, "30 h 0 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_command_of_one_run_asks_nothing_about_many() -> None:
    words = "--devices 64 --seed 1 --trials=5 --measured DIR --measure --budget 1%".split()
    assert without_scale(words) == ["--seed", "1", "--budget", "1%"]


def test_steps_are_timed_on_the_built_in_model() -> None:
    """Three parts, of which two grow with what the plan counts."""
    from peftsearch.config import resolve
    from peftsearch.scaling.timing import time_steps

    flags: dict[str, Any] = {"train_rows": 80, "test_rows": 20, "device": "cpu"}
    config = resolve(flags={**flags, "retrain": {"batch_size": 4, "steps": 50}})
    found = time_steps(config, 10.0, 3)
    assert found.stages is not None
    assert set(found.stages) == {"prepare", "train", "score"}
    assert min(found.stages.values()) > 0
    assert found.seconds[0] == pytest.approx(sum(found.stages.values()), abs=0.01)
