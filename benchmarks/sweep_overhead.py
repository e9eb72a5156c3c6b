"""What a sweep costs beside its trainings: 1,000 stub runs, against an empty loop of processes.

    python benchmarks/sweep_overhead.py --runs 1000 --rounds 10

The stub copies three small files, as a run leaves them, and ends. In every round the same number
of stubs is started by a plain loop of subprocess.run and by the sweep, in turn, so that a change
of the machine's speed hits both. The folder of the sweep holds all runs from the first round on.
Besides: seconds to read the file and check every run, to look through a finished sweep, and to
write its result; bytes that the sweep itself writes per run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peftsearch.rundir import STAGES
from peftsearch.sweep import outcome
from peftsearch.sweep.crew import Crew
from peftsearch.sweep.folder import SweepFolder
from peftsearch.sweep.spec import read_sweep

#: Called as ``sh stub.sh run --config FILE --out DIR``.
STUB = """mkdir -p "$5"
cp "$3" "$5/config.yaml"
cp "$TEMPLATES/manifest.json" "$TEMPLATES/summary.json" "$5"
"""
STAGE = {"status": "done", "seconds": 1.0, "steps": 1, "peak_bytes": 0}
SUMMARY = {
    "model": "none",
    "task": "none",
    "metric": "accuracy",
    "found": {"mean": 0.5, "sd": None, "n": 1, "values": [0.5]},
    "baselines": {},
}


def tell(text: str) -> None:
    """Write a line of the result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of a call, and its result."""
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result


def prepare(root: Path, runs: int) -> dict[str, str]:
    """Write the file of the sweep and the stub; return the environment of the stubs."""
    (root / "sweep.yaml").write_text(
        f"name: stubs\nmatrix:\n  seed: {list(range(runs // 4))}\n  budget: [1%, 2%, 3%, 4%]\n"
    )
    (root / "stub.sh").write_text(STUB)
    manifest = {"format": 1, "stages": dict.fromkeys(STAGES, STAGE)}
    (root / "manifest.json").write_text(json.dumps(manifest))
    (root / "summary.json").write_text(json.dumps(SUMMARY))
    return {"PATH": os.environ["PATH"], "TEMPLATES": str(root)}


def loop(root: Path, names: list[str], environ: dict[str, str], log: Path) -> None:
    """Start the stubs one after the other, and nothing else."""
    (root / "plain").mkdir(exist_ok=True)
    for name in names:
        words = ["run", "--config", root / "sweep.yaml", "--out", root / "plain" / name]
        with log.open("ab") as output:
            subprocess.run(["sh", root / "stub.sh", *words], env=environ, stdout=output, check=True)


def size(folder: Path) -> int:
    """Return the bytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=10)
    typed = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        environ = prepare(root, typed.runs)
        program = ("sh", str(root / "stub.sh"))
        reading, sweep = timed(lambda: read_sweep(root / "sweep.yaml"))
        folder = SweepFolder.open(root / "out", sweep.name)
        points = folder.settled(sweep.points)
        share = len(points) // typed.rounds
        ratios, plain, swept = [], [], []
        for number in range(typed.rounds):
            part = points[number * share : (number + 1) * share]
            names = [point.name for point in part]
            before, _ = timed(lambda names=names: loop(root, names, environ, root / "log"))
            crew = Crew(folder, part, 1, environ, program=program)
            after, _ = timed(crew.work)
            plain.append(before / share)
            swept.append(after / share)
            ratios.append(after / before)
        looking, _ = timed(Crew(SweepFolder(folder.path), points, 1, environ).work)
        ending, why = timed(lambda: outcome.write(folder, outcome.collect(sweep, folder, points)))
        kept = sum(size(folder.path / part) for part in ("points", "logs", "records", "claims"))
        result = size(folder.path) - kept - size(folder.path / "runs")
    middle = statistics.median
    tell(f"{len(points)} stub runs in {typed.rounds} rounds, one at a time, n = {typed.rounds}")
    tell(f"plain loop    {1000 * middle(plain):7.1f} ms a run")
    tell(f"sweep         {1000 * middle(swept):7.1f} ms a run")
    tell(
        f"ratio         {middle(ratios):7.2f}    (least {min(ratios):.2f}, most {max(ratios):.2f})"
    )
    tell(f"overhead      {1000 * (middle(swept) - middle(plain)):7.1f} ms a run")
    tell(f"first round   {1000 * swept[0]:7.1f} ms a run, last {1000 * swept[-1]:.1f}")
    tell(f"read and check all runs       {reading:6.2f} s")
    tell(f"look through a finished sweep {looking:6.2f} s")
    tell(f"collect and write the result  {ending:6.2f} s  ({why})")
    tell(f"files of the sweep            {kept / len(points):,.0f} bytes a run")
    tell(f"sweep.json                    {result / len(points):,.0f} bytes a run")


if __name__ == "__main__":
    main()
