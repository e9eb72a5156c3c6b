"""Studies of stub trials: what they are, where they lie, and a worker as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peftsearch import config as configuration
from peftsearch.tune import campaign
from peftsearch.tune.desk import Desk
from peftsearch.tune.plan import Plan
from peftsearch.tune.results import rows_of
from peftsearch.tune.space import Dimension
from peftsearch.tune.storage import normal

STUB = "tests.tune.stub"
ROOT = Path(__file__).resolve().parents[2]
SPACE = (
    Dimension("search.arch_lr", "float", 0.02, 0.4, log=True),
    Dimension("retrain.weight_decay", "float", 1e-4, 0.1, log=True),
)
SPACE_FILE = """
search.arch_lr: {low: 0.02, high: 0.4, log: true}
retrain.weight_decay: {low: 1e-4, high: 0.1, log: true}
"""


def plan(trials: int = 12, **changes: Any) -> Plan:
    """Return the study that :data:`SPACE_FILE` makes of the built-in configuration."""
    values: dict[str, Any] = {
        "sampler": "tpe",
        "pruner": "hyperband",
        "objectives": ("score",),
        "name": "tune",
    }
    values |= {"base": configuration.resolve(), "space": SPACE}
    return Plan(trials=trials, **{**values, **changes})


def team(out: Path, url: str = "", **changes: Any) -> campaign.Team:
    """Return a team whose trials are stubs."""
    values = {"module": STUB, "lease": 60.0, "patience": 30.0, "attempts": 3}
    values |= {"tell": lambda text: None, **changes}
    return campaign.Team(out=out, url=normal(url or f"sqlite:///{out / 'study.db'}"), **values)


def outcome(desk: Desk) -> list[tuple[Any, ...]]:
    """Return what a study decided and measured, without times."""
    return [(r.number, r.state, r.score, r.params, r.rungs, r.reason) for r in rows_of(desk)]


def worker(out: Path, url: str, trials: int, *more: str, **environ: str) -> subprocess.Popen[str]:
    """Begin ``peftsearch tune`` on stub trials, in a process group of its own."""
    space = out.parent / f"{out.name}-space.yaml"
    space.write_text(SPACE_FILE)
    words = ["--trials", str(trials), "--tune-space", str(space), "--trial-module", STUB]
    return subprocess.Popen(
        [sys.executable, "-m", "peftsearch", "tune", "--out", str(out), *words, *more],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
             "PEFTSEARCH_STORAGE": url, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )  # fmt: skip


def wait_for(what: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Wait until something is so; bounded, for a loaded machine."""
    end = time.monotonic() + 300
    while not what():
        assert time.monotonic() < end, "it did not happen"
        if process is not None and process.poll() is not None:
            raise AssertionError(f"the worker ended too early: {process.communicate()}")
        time.sleep(0.02)


def begun(log: Path) -> list[tuple[str, int]]:
    """Return (word, trial) of every line that stub trials wrote."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [(line.split()[0], int(line.split()[2])) for line in lines if len(line.split()) == 4]
