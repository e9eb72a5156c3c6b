"""A tiny run without dropout, and the command in one process or several, each with a time limit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.pipeline.material import SHORT, build

#: Seconds after which a command that still runs is killed, with all its processes.
LIMIT = 600
ROOT = Path(__file__).resolve().parents[2]
#: Goes on the path of commands: they leave out the report and most baselines.
SHORT_RUNS = Path(__file__).parent / "short"


@dataclass(frozen=True)
class Command:
    """How a command ended."""

    code: int
    out: str
    err: str


def write_config(folder: Path, **changes: Any) -> Path:
    """Write material and the configuration of a short run without dropout, whose draws differ."""
    material = build(folder)
    for model in (material.t5, material.bert):
        path = model / "config.json"
        settings = json.loads(path.read_text())
        for key in ("dropout_rate", "hidden_dropout_prob", "attention_probs_dropout_prob"):
            if key in settings:
                settings[key] = 0.0
        path.write_text(json.dumps(settings))
    path = folder / "run.yaml"
    places = {"model": material.t5, "data": material.data, "space": material.space}
    named = {key: str(place) for key, place in places.items()}
    content = {**SHORT, **named, "task": "rte", "export": {"targets": ["native"]}, **changes}
    path.write_text(yaml.safe_dump(content))
    return path


def environment(**more: str) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(SHORT_RUNS), str(ROOT), *sys.path]),
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
        **more,
    }


def start(*words: str | Path, launcher: tuple[str, ...] = (), **more: str) -> Any:
    """Start the command in a process group of its own."""
    first = launcher or (sys.executable,)
    return subprocess.Popen(
        [*first, "-m", "peftsearch", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**more),
        start_new_session=True,
    )


def finish(process: Any, limit: float = LIMIT) -> Command:
    """Wait, but not for ever: what has not ended is killed with its group, and fails the test."""
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"still running after {limit} s\n{out}\n{err}") from None
    return Command(process.returncode, out, err)


def children(process: Any) -> list[int]:
    """Return the processes of a command that computes in several, by rank."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _parent(entry) == process.pid:
            environ = (entry / "environ").read_bytes().split(b"\0")
            ranks = [int(word[5:]) for word in environ if word.startswith(b"RANK=")]
            found.update(dict.fromkeys(ranks, int(entry.name)))
    return [found[rank] for rank in sorted(found)]


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended
        return 0


def wait_for(events: Path, stage: str, step: int, process: Any) -> None:
    """Return when the log says that a step of a stage, or a later one, is done."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        for line in events.read_text().splitlines() if events.exists() else []:
            record = json.loads(line) if line.endswith("}") else {}
            if record.get("stage") == stage and record.get("step", -1) >= step:
                return
        if process.poll() is not None:
            raise AssertionError(f"the run ended too early: {finish(process)}")
        time.sleep(0.01)
    raise AssertionError(f"the run is too slow: {finish(process, 1.0)}")


def run(*words: str | Path, launcher: tuple[str, ...] = (), **more: str) -> Command:
    """Run the command to its end."""
    return finish(start(*words, launcher=launcher, **more))


def in_processes(count: int, script: str, folder: Path) -> list[dict[str, Any]]:
    """Run a script beside this file in several processes; return what each leaves, by rank."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    process = subprocess.Popen(
        [sys.executable, *launcher, str(Path(__file__).with_name(script)), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    done = finish(process)
    assert done.code == 0, done.err
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(count)]
