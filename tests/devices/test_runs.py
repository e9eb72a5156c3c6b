"""A run in two processes is the run in one; what ends it leaves it to be gone on with."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import peftsearch
from peftsearch import config as configuration
from peftsearch import ranks
from peftsearch.cli.together import agreed
from peftsearch.devices.launch import check_devices
from peftsearch.environment import cpu_count
from peftsearch.errors import ConfigError, PeftSearchError
from tests.devices.material import (
    children,
    finish,
    run,
    start,
    wait_for,
    write_config,
)

pytestmark = [
    pytest.mark.skipif(cpu_count() < 2, reason="two processes want two processors"),
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]
#: Slices of unequal size in every micro-batch; dropout is off, as its draws differ by process.
CONFIG: dict[str, Any] = {
    "accumulation": 2,
    "budget": "5%",
    "trainings": 12,
    "search": {
        "steps": 24,
        "batch_size": 7,
        "architectures_per_batch": 3,
        "measured": 5,
        "valid_rows": 15,
        "gate_every": 2,
        "log_every": 1,
        "checkpoint_every": 5,
        "stable_checks": 0,
    },
    "retrain": {"steps": 6, "batch_size": 7, "checkpoint_every": 2, "random_baselines": 0},
}
#: Largest difference of a gate's logit; sums are taken in another order.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("material"), **CONFIG)


@pytest.fixture(scope="module")
def alone(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run in one process; to be read only."""
    out = tmp_path_factory.mktemp("runs") / "alone"
    done = run("run", "--config", config, "--out", out, "--quiet")
    assert done.code == 0, done.err
    return out


def same(found: Path, right: Path) -> None:
    """Check that two runs decided the same, with the same gates up to float error."""
    choices = [json.loads((run / "architecture.json").read_text()) for run in (found, right)]
    assert choices[0]["choices"] == choices[1]["choices"]
    gates = [load_file(run / "search" / "checkpoint.safetensors") for run in (found, right)]
    assert gates[0].keys() == gates[1].keys()
    named = [name for name in gates[1] if name.startswith("gates/")]
    assert named
    for name in named:
        assert float((gates[0][name] - gates[1][name]).abs().max()) < TOLERANCE
    for name in ("retrain/metrics.json", "baselines/uniform-lora/metrics.json"):
        scores = [json.loads((run / name).read_text())["values"] for run in (found, right)]
        assert scores[0] == scores[1]
    losses = [
        json.loads((run / "retrain/seed-0/metrics.json").read_text())["final_loss"]
        for run in (found, right)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_two_processes_do_what_one_does(config: Path, alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = run("run", "--config", config, "--out", out, "--devices", "2", "--quiet")
    assert (done.code, done.out, done.err) == (0, f"{out}\n", "")
    same(out, alone)
    files = {p.relative_to(alone) for p in alone.rglob("*")}
    assert {p.relative_to(out) for p in out.rglob("*")} == files
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    steps = [e["step"] for e in events if (e["stage"], e["event"]) == ("search", "step")]
    assert steps == list(range(1, 25))  # one process writes


@pytest.mark.slow
def test_a_backbone_in_shards(config: Path, alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ("--devices", "2", "--set", "shard=true", "--quiet")
    done = run("run", "--config", config, "--out", out, *words)
    assert (done.code, done.out, done.err) == (0, f"{out}\n", "")
    same(out, alone)


@pytest.mark.slow
def test_killed_stopped_and_gone_on_with(config: Path, alone: Path, tmp_path: Path) -> None:
    """SIGKILL of one process, then SIGTERM to the other, then another launcher."""
    out = tmp_path / "run"
    process = start("run", "--config", config, "--out", out, "--devices", "2")
    wait_for(out / "events.jsonl", "search", 7, process)
    began = time.monotonic()
    os.kill(children(process)[1], signal.SIGKILL)
    done = finish(process)
    assert time.monotonic() - began < 90
    assert done.code == 128 + signal.SIGKILL, done.err
    assert "Process 2 of 2 was killed by SIGKILL." in done.err
    assert f"Continue with:\n  peftsearch run --resume {out}\n" in done.err
    assert not (out / "summary.json").exists()

    process = start("run", "--resume", out)  # on two again: the run says so
    wait_for(out / "events.jsonl", "retrain", 1, process)
    os.kill(children(process)[1], signal.SIGTERM)
    done = finish(process)
    assert done.code == 128 + signal.SIGTERM, done.err
    assert done.err.count("; saved. Continue with:") == 1

    launcher = ("accelerate", "launch", "--multi_gpu", "--num_processes", "2")
    launcher += ("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no")
    launcher += ("--main_process_port", str(_free_port()))
    command = (sys.executable, "-m", "accelerate.commands.accelerate_cli", *launcher[1:])
    done = run("run", "--resume", out, "--quiet", launcher=command)
    assert (done.code, done.out) == (0, f"{out}\n"), done.err
    same(out, alone)


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ({"devices": 999, "device": "cpu"}, 3, "devices is 999, and there are"),
        ({"devices": 999, "device": "cuda"}, 3, "devices is 999, and there are"),
        ({"devices": 2, "device": "mps"}, 2, "devices is 2, and device mps is one only."),
        ({"devices": 2, "device": "cuda:1"}, 2, "devices is 2, and device cuda:1 is one only."),
    ],
)
def test_refused(flags: dict[str, Any], code: int, message: str) -> None:
    with pytest.raises(PeftSearchError) as error:
        check_devices(configuration.resolve(flags=flags))
    assert error.value.exit_code == code
    assert error.value.message.startswith(message)
    assert error.value.hint.startswith("Use --device")


def test_other_processes_than_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert agreed(3, 3) == 3
    monkeypatch.setattr(ranks, "size", lambda: 2)
    assert (agreed(1, None), agreed(5, None), agreed(1, 2)) == (2, 2, 2)
    with pytest.raises(ConfigError, match="--devices 3 was asked for, and 2 processes were"):
        agreed(1, 3)


def test_a_program_does_not_start_itself_again() -> None:
    with pytest.raises(ConfigError, match="devices is 2, and this program runs in 1 processes"):
        peftsearch.run(devices=2, out="nowhere")
    assert not Path("nowhere").exists()
