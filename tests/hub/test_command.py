"""The command itself against the loopback Hub: ``run --model t5-base --task rte``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.hub.server import LoopbackHub

ROOT = Path(__file__).resolve().parents[2]
SHORT = (
    "search.steps=6",
    "search.measured=2",
    "search.valid_rows=16",
    "trainings=30",
    "race.first_rung=0.5",
    "retrain.steps=2",
    "retrain.random_baselines=1",
)


def peftsearch(
    arguments: list[str], hub: LoopbackHub, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, with an empty cache."""
    env = {**hub.env(), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": os.environ["PATH"]}
    return subprocess.run(
        [sys.executable, "-m", "peftsearch", *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def test_run_on_t5_base_and_rte_from_the_hub(hub: LoopbackHub, tmp_path: Path) -> None:
    command = ["run", "--model", "t5-base", "--task", "rte", "--budget", "1%", "--seeds", "1"]
    sets = [word for pair in SHORT for word in ("--set", pair)]
    done = peftsearch([*command, *sets, "--out", "run", "--json"], hub, tmp_path)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    architecture = json.loads((tmp_path / "run" / "architecture.json").read_text())
    assert architecture["model"] == "t5-base"
    limit = architecture["backbone_parameters"] // 100
    assert architecture["budget"] == {"requested": "1%", "limit": limit}
    assert architecture["num_params"] <= limit
    assert summary["exports"]["native"]["verified"]
    assert (tmp_path / "run" / "report" / "report.html").is_file()


def test_a_missing_model_ends_in_exit_3_and_one_sentence(hub: LoopbackHub, tmp_path: Path) -> None:
    done = peftsearch(["plan", "--model", "t5-bse", "--task", "rte"], hub, tmp_path)
    assert done.returncode == 3
    assert done.stdout == ""
    assert "t5-bse" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.glob("runs/*")) == []


def test_a_hub_that_is_down_ends_in_exit_3_and_leaves_no_run(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    hub.down()
    done = peftsearch(["plan", "--model", "t5-base", "--task", "rte"], hub, tmp_path)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
