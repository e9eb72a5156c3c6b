"""Working on a sweep: nothing is lost or done twice, whatever happens to whom."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from peftsearch.errors import ConfigError
from peftsearch.room import devices, rooms
from peftsearch.sweep.folder import DONE, FAILED, PENDING, UNFINISHED, SweepFolder
from peftsearch.sweep.spec import read_sweep
from tests.sweep.conftest import Stage

MOST_SECONDS = 60


def until(happened: Callable[[], bool]) -> None:
    """Wait for something that must come."""
    end = time.monotonic() + MOST_SECONDS
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def statuses(stage: Stage) -> list[str]:
    sweep = read_sweep(stage.file)
    folder = SweepFolder.open(stage.place, sweep.name)
    return [folder.status(point) for point in folder.settled(sweep.points)]


def test_every_run_once_and_then_none(stage: Stage) -> None:
    stage.seeds(5)
    _, points = stage.work()
    names = {point.name: 1 for point in points}
    assert stage.count("start") == stage.count("end") == names
    stage.work()
    assert stage.count("start") == names
    assert [line.split()[0] for line in stage.said if "done" in line] == [
        f"{n}/5" for n in range(1, 6)
    ]


def test_at_most_so_many_at_once(stage: Stage) -> None:
    stage.seeds(6)
    stage.environ["STUB_SECONDS"] = "0.05"
    stage.work(jobs=3)
    at_once, most = 0, 0
    for event, *_ in stage.journal():
        at_once += {"start": 1, "end": -1}[event]
        most = max(most, at_once)
    assert 1 < most <= 3


def test_a_failed_run_stops_no_other_and_is_tried_again_when_asked(stage: Stage) -> None:
    stage.seeds(4)
    stage.environ["STUB_FAIL"] = "1=5 3=4"
    folder, points = stage.work()
    assert [folder.status(point) for point in points] == [DONE, FAILED, DONE, FAILED]
    record = folder.record(points[1])
    assert record is not None
    assert (record.exit_code, record.reason) == (5, "seed 1 cannot be done.")
    assert record.attempts == 1
    log = folder.file("logs", points[1]).read_text()
    assert log.startswith("$ ")
    assert "Warning: careful" in log
    before = stage.journal()
    stage.work()
    assert stage.journal() == before  # left alone
    stage.environ["STUB_FAIL"] = "3=6"
    folder.forgive(points)
    folder, points = stage.work()
    assert [folder.status(point) for point in points] == [DONE, DONE, DONE, FAILED]
    codes = [(r.exit_code, r.attempts) for p in points if (r := folder.record(p)) is not None]
    assert codes == [(0, 1), (0, 2), (0, 1), (6, 2)]
    assert stage.count("resume") == {points[1].name: 1, points[3].name: 1}


def test_a_run_that_is_killed_says_so(stage: Stage) -> None:
    stage.seeds(1)
    work = stage.thread(STUB_SECONDS=str(MOST_SECONDS))
    until(lambda: len(stage.journal()) == 1)
    os.kill(int(stage.journal()[0][2]), signal.SIGKILL)
    work.result(MOST_SECONDS)
    (path,) = (stage.place / "records").iterdir()
    record = json.loads(path.read_text())
    assert record["exit_code"] == 128 + signal.SIGKILL
    assert record["reason"].startswith("It was ended by SIGKILL")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_and_the_same_command_goes_on(
    stage: Stage, number: signal.Signals
) -> None:
    stage.seeds(4)
    process = stage.process(STUB_SECONDS=str(MOST_SECONDS))
    until(lambda: len(stage.journal()) == 2)
    process.send_signal(number)
    assert process.wait(MOST_SECONDS) == 128 + number
    for _, _, pid, *_ in stage.journal():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
    assert sorted(statuses(stage)) == [PENDING, PENDING, UNFINISHED, UNFINISHED]
    _, points = stage.work()
    assert stage.count("end") == {point.name: 1 for point in points}
    assert sum(stage.count("start").values()) == 4
    assert sum(stage.count("resume").values()) == 2


def test_a_run_stopped_from_outside_is_no_failure(stage: Stage) -> None:
    stage.seeds(1)
    work = stage.thread(STUB_SECONDS=str(MOST_SECONDS))
    until(lambda: len(stage.journal()) == 1)
    os.kill(int(stage.journal()[0][2]), signal.SIGTERM)
    work.result(MOST_SECONDS)
    assert statuses(stage) == [UNFINISHED]
    stage.environ["STUB_SECONDS"] = "0"
    stage.work()
    assert statuses(stage) == [DONE]


def test_a_sweep_killed_in_the_middle_loses_and_doubles_nothing(stage: Stage) -> None:
    """Its runs outlive it, as nobody tells them; the next sweep waits for them."""
    stage.seeds(8)
    stage.environ["STUB_SECONDS"] = "0.3"
    process = stage.process()
    until(lambda: len(stage.count("end")) >= 2 and len(stage.journal()) % 2 == 1)
    process.kill()
    process.wait(MOST_SECONDS)
    _, points = stage.work()
    assert stage.count("end") == {point.name: 1 for point in points}
    assert set(statuses(stage)) == {DONE}


def test_a_run_that_outlives_its_sweep_is_waited_for(stage: Stage) -> None:
    stage.seeds(1)
    stage.environ["STUB_SECONDS"] = "1.5"
    process = stage.process()
    until(lambda: len(stage.journal()) == 1)
    process.kill()
    process.wait(MOST_SECONDS)
    stage.work()
    assert [event for event, *_ in stage.journal()] == ["start", "end"]


def test_two_sweeps_on_one_folder_share_the_runs(stage: Stage) -> None:
    stage.seeds(12)
    stage.environ["STUB_SECONDS"] = "0.1"
    both = [stage.process(), stage.process()]
    assert [process.wait(MOST_SECONDS) for process in both] == [0, 0]
    names = {point.name: 1 for point in read_sweep(stage.file).points}
    assert stage.count("start") == stage.count("end") == names
    assert set(statuses(stage)) == {DONE}


def test_a_run_in_use_by_another_process_is_looked_at_again(stage: Stage) -> None:
    """Here: somebody resumes it by hand, and it is done when the lock is free."""
    stage.seeds(2)
    sweep = read_sweep(stage.file)
    folder = SweepFolder.open(stage.place, sweep.name)
    first, second = sweep.points
    folder.run_dir(first).mkdir()
    with FileLock(folder.run_dir(first) / ".lock"):
        work = stage.thread()
        until(lambda: stage.count("end").get(second.name) == 1)
        time.sleep(0.3)
        assert stage.count("start") == {second.name: 1}
    work.result(MOST_SECONDS)
    assert stage.count("end") == {first.name: 1, second.name: 1}


def test_what_a_killed_start_left_is_in_nobodys_way(stage: Stage) -> None:
    stage.seeds(1)
    sweep = read_sweep(stage.file)
    folder = SweepFolder.open(stage.place, sweep.name)
    run = folder.run_dir(sweep.points[0])
    run.mkdir()
    (run / ".tmp-abc-config.yaml").write_text("half")
    stage.work()
    assert statuses(stage) == [DONE]
    assert not list(run.glob(".tmp-*"))


def test_a_changed_file_trains_what_is_new_and_names_what_is_gone(stage: Stage) -> None:
    stage.write(matrix={"seed": [0, 1]})
    _, before = stage.work()
    stage.write(matrix={"seed": [1, 2], "budget": ["1%"]})  # 1% is the built-in budget
    folder, points = stage.work()
    assert points[0].name == before[1].name  # the same run under its first name
    names = {point.name for point in (*before, points[1])}
    assert stage.count("start") == dict.fromkeys(names, 1)
    assert len(names) == 3
    assert folder.strangers(points) == [before[0].name]


def test_the_environment_of_the_sweep_does_not_reach_its_runs(stage: Stage) -> None:
    stage.seeds(1)
    stage.environ |= {"PEFTSEARCH_BUDGET": "7%", "PEFTSEARCH_DEBUG": "1"}
    from peftsearch.config.layers import OTHER_VARIABLES
    from peftsearch.sweep.folder import without_settings

    left = without_settings(stage.environ, OTHER_VARIABLES)
    assert "PEFTSEARCH_BUDGET" not in left
    assert left["PEFTSEARCH_DEBUG"] == "1"


def test_a_folder_of_something_else_is_refused(stage: Stage, tmp_path: Path) -> None:
    stage.seeds(1)
    stage.place.mkdir()
    (stage.place / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match=r"not the folder of a sweep: it holds thesis\.tex"):
        stage.work()
    (stage.place / "thesis.tex").unlink()
    stage.work()
    with pytest.raises(ConfigError, match='holds the sweep "stubs", not "others"'):
        SweepFolder.open(stage.place, "others")
    (stage.place / "sweep.json").write_text('{"format": 2}')
    with pytest.raises(ConfigError, match="another format"):
        stage.work()
    with pytest.raises(ConfigError, match="is a file"):
        SweepFolder.open(stage.file, "stubs")


def test_runs_at_once_have_a_device_and_a_share_of_the_cores_each(tmp_path: Path) -> None:
    given = {"PATH": str(tmp_path), "OTHER": "1", "CUDA_VISIBLE_DEVICES": "4, 6"}
    assert rooms(1, given) == [given]
    three = rooms(3, {**given, "OMP_NUM_THREADS": "5"})
    assert [room["CUDA_VISIBLE_DEVICES"] for room in three] == ["4", "6", "4"]
    assert {room["OMP_NUM_THREADS"] for room in three} == {"5"}
    cores = len(os.sched_getaffinity(0))
    two = rooms(2, given)
    assert {room["OMP_NUM_THREADS"] for room in two} == {str(max(1, cores // 2))}
    assert devices({"PATH": str(tmp_path)}) == []
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\necho 'GPU 0: A'\necho 'GPU 1: B'\n")
    fake.chmod(0o755)
    assert devices({"PATH": str(tmp_path)}) == ["0", "1"]
    assert devices({"PATH": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""}) == []


def test_a_device_is_never_given_to_two_runs_at_once(stage: Stage) -> None:
    stage.seeds(6)
    stage.environ |= {"CUDA_VISIBLE_DEVICES": "0,1", "STUB_SECONDS": "0.05"}
    stage.work(jobs=2)
    taken: set[str] = set()
    for event, _, _, device in stage.journal():
        assert (device in taken) == (event == "end")
        taken ^= {device}
    assert {line[3] for line in stage.journal()} == {"0", "1"}
