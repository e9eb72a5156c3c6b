"""Sweeps of stub runs, which take no time and keep a journal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from peftsearch.sweep.crew import Crew
from peftsearch.sweep.folder import SweepFolder
from peftsearch.sweep.spec import Point, read_sweep
from tests.conftest import ROOT

FOLDER = Path(__file__).parent
STUB = (sys.executable, str(FOLDER / "stub.py"))


@dataclass
class Stage:
    """A sweep with stub runs in a temporary folder.

    Attributes:
        root: The folder of everything.
        environ: What the stub runs are told.
        said: What the crew has told.
    """

    root: Path
    environ: dict[str, str]
    said: list[str] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.root / "sweep.yaml"

    @property
    def place(self) -> Path:
        return self.root / "out"

    def write(self, **content: Any) -> None:
        self.file.write_text(yaml.safe_dump({"name": "stubs", **content}, sort_keys=False))

    def seeds(self, number: int) -> None:
        self.write(matrix={"seed": list(range(number))})

    def work(self, jobs: int = 2) -> tuple[SweepFolder, list[Point]]:
        sweep = read_sweep(self.file)
        folder = SweepFolder.open(self.place, sweep.name)
        points = folder.settled(sweep.points)
        crew = Crew(folder, points, jobs, self.environ, self.said.append, STUB, look_again=0.1)
        crew.work()
        return folder, points

    def thread(self, **environ: str) -> Future[Any]:
        """Work in a thread, which no signal reaches."""
        self.environ |= environ
        pool = ThreadPoolExecutor(1)
        future = pool.submit(self.work)
        pool.shutdown(wait=False)
        return future

    def process(self, jobs: int = 2, **environ: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(FOLDER / "driver.py"), self.file, self.place, str(jobs)]
        env = {**os.environ, "PYTHONPATH": str(ROOT), **self.environ, **environ}
        return subprocess.Popen(command, env=env)

    def journal(self) -> list[list[str]]:
        path = Path(self.environ["STUB_JOURNAL"])
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def count(self, event: str) -> Mapping[str, int]:
        return Counter(name for what, name, *_ in self.journal() if what == event)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    environ = {"PATH": os.environ["PATH"], "STUB_JOURNAL": str(tmp_path / "journal")}
    return Stage(tmp_path, environ)
