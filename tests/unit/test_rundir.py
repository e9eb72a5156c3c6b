"""The run directory: atomic writes, torn lines, locks between processes, the manifest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

import pytest

from peftsearch.config import RunConfig
from peftsearch.errors import ConfigError
from peftsearch.rundir import (
    STAGES,
    Events,
    JsonLines,
    Manifest,
    RunDir,
    atomic_path,
    claim,
    default_name,
    read_json,
    write_json,
    write_text,
)

HOLD = """
import sys, time
from pathlib import Path
from peftsearch.rundir import RunDir
run = RunDir.open_existing(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    write_text(path, "old")
    with suppress(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("new")
        raise RuntimeError("half-way")
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with atomic_path(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.endswith("a.bin")
        temporary.write_bytes(b"12")
        assert not path.exists()
    assert path.read_bytes() == b"12"


@pytest.mark.skipif(os.name == "nt", reason="modes are of Unix")
def test_files_have_the_usual_mode(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "")
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_json_is_readable_and_strict(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"z": 1, "a": "ü"})
    assert path.read_text("utf-8") == '{\n  "z": 1,\n  "a": "ü"\n}\n'
    assert read_json(path) == {"z": 1, "a": "ü"}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"z": float("nan")})
    assert read_json(path) == {"z": 1, "a": "ü"}


@pytest.mark.parametrize("content", [None, b"{", b"\xff"])
def test_json_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.json (does not exist|is not a JSON file)"):
        read_json(path)


@pytest.mark.parametrize("torn", [b'{"step": 3', b"\x00\x00", b'{"step": 3}x\n', b"7\n"])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "a.jsonl"
    with JsonLines(path) as lines:
        lines.append({"step": 1})
        lines.append({"step": 2, "loss": float("inf"), "deep": [[float("nan"), 1]]})
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    with JsonLines(path) as lines:
        assert path.read_bytes() == whole
        lines.append({"step": 3})
        assert [r["step"] for r in lines.read()] == [1, 2, 3]
        assert list(lines.read())[1] == {"step": 2, "loss": None, "deep": [[None, 1]]}


def test_later_steps_are_dropped_before_a_resume(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path / "a.jsonl")
    lines.truncate_after(0)
    for step in (10, 20, 30):
        lines.append({"step": step})
    lines.truncate_after(20)
    lines.append({"step": 25})
    assert [r["step"] for r in lines.read()] == [10, 20, 25]
    lines.close()


def test_events_reach_file_and_listener(tmp_path: Path) -> None:
    heard: list[dict[str, object]] = []
    events = Events(tmp_path, heard.append)
    events.emit("search", "start")
    for step in (1, 2, 3):
        events.emit("search", "step", step=step, steps=3)
    events.emit("retrain", "step", name="seed-0", step=9, steps=9)
    events.emit("retrain", "step", name="seed-1", step=9, steps=9)
    events.rewind("search", 2)
    events.rewind("retrain", 0, name="seed-1")
    events.close()
    kept = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [(e["stage"], e.get("step")) for e in kept] == [
        ("search", None),
        ("search", 1),
        ("search", 2),
        ("retrain", 9),
    ]
    assert len(heard) == 6
    assert datetime.fromisoformat(kept[0]["time"]).utcoffset() is not None


def test_manifest_counts_time_over_interruptions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("peftsearch.rundir.manifest.time.monotonic", lambda: clock[0])
    path = tmp_path / "manifest.json"
    manifest = Manifest(path)
    manifest.update(seeds={"root": 1})
    manifest.start("search")
    clock[0] += 2
    manifest.tick("search")
    clock[0] += 100  # Killed here: this time is lost.
    again = Manifest(path)
    assert again.stage("search")["status"] == "running"
    assert not again.is_done("search")
    again.start("search")
    clock[0] += 3
    again.finish("search", 80, peak_bytes=9)
    assert Manifest(path).is_done("search")
    entry = {"status": "done", "seconds": 5.0, "steps": 80, "peak_bytes": 9}
    assert read_json(path)["stages"]["search"] == entry
    assert list(read_json(path)["stages"]) == list(STAGES)
    assert read_json(path)["seeds"] == {"root": 1}


def test_a_stage_that_is_done_again_counts_anew_or_stays_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("peftsearch.rundir.manifest.time.monotonic", lambda: clock[0])
    manifest = Manifest(tmp_path / "manifest.json")
    manifest.start("search")
    clock[0] += 5
    manifest.finish("search", 80, peak_bytes=9)
    first = dict(manifest.stage("search"))
    before = manifest.start("search")
    clock[0] += 2
    manifest.tick("search")
    assert manifest.stage("search")["seconds"] == 2.0
    manifest.restore("search", before)
    assert Manifest(manifest.path).stage("search") == first


def test_default_name_is_safe() -> None:
    config = RunConfig(model="org/T5 small:x", task="dir/my task.yaml", budget="0.5%", seed=7)
    when = datetime(2026, 1, 31, 14, 2, 11, tzinfo=timezone.utc)
    assert default_name(config, when) == "2026-01-31T140211_T5-small-x_my-task_0.5pct_s7"
    assert default_name(RunConfig(model="../.."), when).split("_")[1] == "x"


def test_two_runs_of_one_second_get_two_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("peftsearch.rundir.directory.default_name", lambda config: "same")
    assert [str(claim(RunConfig())) for _ in range(3)] == [
        "runs/same",
        "runs/same-2",
        "runs/same-3",
    ]


def test_create_writes_the_configuration_first(tmp_path: Path) -> None:
    config = RunConfig(out=str(tmp_path / "a"), seed=3)
    with RunDir.create(config) as run:
        assert run.path == tmp_path / "a"
        assert run.config() == config
        run.write_json("race/gates.json", {"a": 1})
        assert run.read_json("race/gates.json") == {"a": 1}
        assert run.file("race", "gates.json").exists()
    with RunDir.create(config, tmp_path / "b") as run:
        assert run.path == tmp_path / "b"


def test_a_directory_that_is_not_empty_is_refused_unchanged(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ConfigError) as caught:
        RunDir.create(RunConfig(), tmp_path)
    assert caught.value.message == f"{tmp_path} is not empty."
    assert f"peftsearch run --resume {tmp_path}" in caught.value.hint
    assert "--out" in caught.value.hint
    assert os.listdir(tmp_path) == ["mine.txt"]
    with pytest.raises(ConfigError, match="is a file"):
        RunDir.create(RunConfig(), tmp_path / "mine.txt")
    with pytest.raises(ConfigError, match="cannot be created"):
        RunDir.create(RunConfig(), tmp_path / "mine.txt" / "below")


def test_what_is_not_a_run_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        RunDir.open_existing(tmp_path / "no")
    with pytest.raises(ConfigError, match=r"has no config\.yaml"):
        RunDir.open_existing(tmp_path)


@pytest.mark.parametrize("content", ['{"format": 2}', "[]", '{"format": 1}', "{"])
def test_a_manifest_that_cannot_be_used_is_refused(tmp_path: Path, content: str) -> None:
    RunDir.create(RunConfig(), tmp_path / "a").close()
    (tmp_path / "a" / "manifest.json").write_text(content)
    with pytest.raises(ConfigError, match=r"manifest\.json"):
        RunDir.open_existing(tmp_path / "a")
    with RunDir(tmp_path / "a"):  # The refusal has let go of the lock.
        pass


def test_a_second_writer_is_refused_and_a_dead_one_is_succeeded(tmp_path: Path) -> None:
    path = tmp_path / "a"
    RunDir.create(RunConfig(), path).close()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigError) as caught:
            RunDir.open_existing(path)
        assert f"is in use by process {holder.pid} on " in caught.value.message
        assert "--out DIR" in caught.value.hint
        assert caught.value.exit_code == 2
        with RunDir.open_existing(path, lock=False) as reader:
            assert reader.config() == RunConfig()
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
    with RunDir.open_existing(path) as run:
        assert run.path == path
    with RunDir.open_existing(path):
        pass
