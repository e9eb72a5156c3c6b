"""Recipes for schedulers: run with stand-ins for the scheduler and for the program."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from peftsearch.cli import app
from tests.conftest import ROOT
from tests.rules.test_project import commands, options

SCRIPTS = sorted(ROOT.glob("examples/slurm/*.sbatch"))
JOBS = sorted(ROOT.glob("examples/kubernetes/*.yaml"))
#: Notes its words, and waits for the signal when it is told to.
STUB = """#!/usr/bin/env bash
echo "$*" >> "$BIN/calls"
task=${SLURM_ARRAY_TASK_ID:-}
again=$BIN/again-$task
if [ -e "$BIN/preempt" ] && [ ! -e "$again" ]; then
  touch "$again"
  trap 'sleep 0.1; exit 143' TERM
  touch "$BIN/begun-$task"
  while :; do sleep 0.02; done
fi
touch "$BIN/begun-$task"
exit "${CODE:-0}"
"""
SCONTROL = """#!/usr/bin/env bash
[ "$1" = requeue ] && touch "$BIN/requeued-$2"
"""


@pytest.fixture
def bin_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of stand-ins, first in PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    sbatch = (ROOT / "tests" / "examples" / "sbatch.py").read_text()
    texts = {"peftsearch": STUB, "scontrol": SCONTROL, "sbatch": f"#!{sys.executable}\n{sbatch}"}
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("BIN", str(folder))
    monkeypatch.setenv("PEFTSEARCH_STORAGE", "postgresql://me@db/tune")
    monkeypatch.setenv("PGPASSWORD", "secret-word")
    return folder


def calls(folder: Path) -> list[list[str]]:
    return [shlex.split(line) for line in (folder / "calls").read_text().splitlines()]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_bash(script: Path) -> None:
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


ARRAYS: dict[str, tuple[str, list[str], list[str]]] = {
    "sweep": ("SWEEP=b.yaml,OUT=o", [], ["sweep", "b.yaml", "--out", "o", "--jobs", "1"]),
    "tune": (
        "OUT=o,TRIALS=9",
        ["--task", "rte"],
        ["tune", "--trials", "9", "--out", "o", "--task", "rte"],
    ),
}


def submit(name: str) -> str:
    export, words, _ = ARRAYS[name]
    script = ROOT / "examples" / "slurm" / f"{name}.sbatch"
    command = ["sbatch", f"--export=ALL,{export}", script, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_runs_to_its_end(bin_dir: Path, name: str) -> None:
    assert submit(name) == "0 0"
    assert calls(bin_dir) == [ARRAYS[name][2]] * 2
    assert not list(bin_dir.glob("requeued-*"))
    assert "secret-word" not in (bin_dir / "calls").read_text()


@pytest.mark.parametrize("name", ARRAYS)
def test_a_preempted_task_saves_and_is_requeued(bin_dir: Path, name: str) -> None:
    (bin_dir / "preempt").touch()
    assert submit(name) == "0 0"
    assert calls(bin_dir) == [ARRAYS[name][2]] * 4
    assert len(list(bin_dir.glob("requeued-7_*"))) == 2


def test_a_failed_task_is_not_requeued(bin_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODE", "5")
    assert submit("sweep") == "5 5"
    assert not list(bin_dir.glob("requeued-*"))


def test_what_is_missing_is_named(bin_dir: Path) -> None:
    script = ROOT / "examples" / "slurm" / "tune.sbatch"
    done = subprocess.run(["bash", script], capture_output=True, text=True)
    assert done.returncode != 0
    assert "set OUT to a folder" in done.stderr


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_a_kubernetes_job(path: Path) -> None:
    job: dict[str, Any] = yaml.safe_load(path.read_text())
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"]
    assert spec["backoffLimitPerIndex"] > 0  # FailIndex is refused without
    assert pod["restartPolicy"] == "Never"  # so is a failure policy
    assert pod["terminationGracePeriodSeconds"] >= 60
    (container,) = pod["containers"]
    for rule in spec["podFailurePolicy"]["rules"]:
        assert rule["action"] in ("Ignore", "Count", "FailIndex", "FailJob")
        codes = rule.get("onExitCodes")
        assert (codes is None) != ("onPodConditions" not in rule)
        assert codes is None or codes["containerName"] == container["name"]
        assert codes is None or codes["operator"] == "NotIn" or 0 not in codes["values"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    secrets = {e["name"]: e["valueFrom"]["secretKeyRef"] for e in container.get("env", ())}
    assert set(secrets) == ({"PEFTSEARCH_STORAGE", "PGPASSWORD"} if "tune" in path.name else set())
    assert not any("://" in word or "storage" in word for word in container["command"])
    require_known(container["command"][1:])


def require_known(words: list[str]) -> None:
    known: Any = get_command(app)
    if words[0] == "tune" and "tune" not in known.commands:
        return
    given = {word.split("=")[0] for word in words if word.startswith("--")}
    assert given <= options(known.commands[words[0]]) | {"--help"}, words


def test_the_commands_of_the_document_exist() -> None:
    text = (ROOT / "docs" / "scale.md").read_text()
    found = commands(text, "peftsearch")
    assert {"sweep", "plan", "tune", "run"} <= {words[0] for words in found}
    for words in found:
        require_known(words)


def test_the_files_of_the_document_exist() -> None:
    text = (ROOT / "docs" / "scale.md").read_text()
    for path in [*SCRIPTS, *JOBS, ROOT / "examples" / "ray_workers.py"]:
        assert path.relative_to(ROOT).as_posix() in text


RAY = """
def init(**options):
    pass

class _Remote:
    def __init__(self, function):
        self.remote = function

def remote(num_gpus, num_cpus, max_retries):
    return _Remote

def get(values):
    return values
"""


@pytest.mark.parametrize(("code", "ended"), [("0", 0), ("143", 0), ("3", 3)])
def test_ray_workers(bin_dir: Path, tmp_path: Path, code: str, ended: int) -> None:
    """With a stand-in for Ray that runs every worker at once, here."""
    (tmp_path / "ray.py").write_text(RAY)
    script = ROOT / "examples" / "ray_workers.py"
    words = ["--task", "rte", "--trials", "5"]
    done = subprocess.run(
        [sys.executable, script, "--workers", "2", "--", *words],
        env=os.environ | {"PYTHONPATH": str(tmp_path), "CODE": code},
        capture_output=True,
        text=True,
    )
    assert done.returncode == ended, done.stderr
    assert f"2 workers ended with exit code {code}" in done.stdout
    assert calls(bin_dir) == [["tune", *words]] * 2


def test_ray_workers_want_a_storage(
    bin_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ray.py").write_text(RAY)
    monkeypatch.delenv("PEFTSEARCH_STORAGE")
    script = ROOT / "examples" / "ray_workers.py"
    done = subprocess.run(
        [sys.executable, script],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Set PEFTSEARCH_STORAGE" in done.stderr
