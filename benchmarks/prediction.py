"""Is what ``plan --devices --trials`` predicts what happens? Eight small trials on two workers.

    python benchmarks/prediction.py --trials 8 --workers 2
    python benchmarks/prediction.py --trials 8 --workers 2 --stub 1

First single trials are measured: one alone, and then as many at once as there will be workers.
From each of the two the wall time of all trials is predicted, which then run as a sweep. Printed
are prediction, measurement and error in per cent, with the number of trials, and the same from
what the trials of the sweep itself took, which leaves only the error of the formula. With --stub a
trial is no run, but a process that computes for so many seconds of processor time and leaves the
files of a run: seconds instead of minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from peftsearch.rundir import STAGES
from peftsearch.scaling import Measured, predict, read_measured
from peftsearch.sweep.child import PROGRAM
from peftsearch.sweep.crew import Crew
from peftsearch.sweep.folder import DONE, SweepFolder
from peftsearch.sweep.spec import read_sweep

COMMON = """
common:
  seeds: 1
  train_rows: 200
  test_rows: 60
  trainings: 10
  search: {steps: 6, measured: 2, valid_rows: 16}
  retrain: {steps: 4, random_baselines: 0}
  export: {targets: []}
"""


#: Called as ``python -c STUB SECONDS run --config FILE --out DIR``.
STUB = """
import json, pathlib, sys, time
while time.process_time() < float(sys.argv[1]):
    sum(range(10000))
run, stages = pathlib.Path(sys.argv[6]), json.loads(STAGES)
run.mkdir()
entry = {"status": "done", "seconds": 1.0, "steps": 1, "peak_bytes": 0}
manifest = {"format": 1, "stages": dict.fromkeys(stages, entry)}
cost = {key: dict.fromkeys(stages, 1) for key in ("seconds", "steps")}
(run / "config.yaml").write_text(pathlib.Path(sys.argv[4]).read_text())
(run / "manifest.json").write_text(json.dumps(manifest))
(run / "summary.json").write_text(json.dumps({"cost": cost}))
"""


def program(seconds: float | None) -> tuple[str, ...]:
    """Return what is called for a trial: a run, or a stub of so many seconds."""
    if seconds is None:
        return PROGRAM
    stages = f"STAGES = {json.dumps(json.dumps(STAGES))}"
    return (sys.executable, "-S", "-c", stages + STUB, str(seconds))


def tell(text: str) -> None:
    """Write a line of the result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run(
    root: Path, name: str, seeds: list[int], workers: int, stub: float | None
) -> tuple[float, Measured]:
    """Make a sweep over seeds; return its wall time and what its trials took."""
    file = root / f"{name}.yaml"
    file.write_text(f"name: {name}\n{COMMON}matrix:\n  seed: {seeds}\n")
    sweep = read_sweep(file)
    folder = SweepFolder.open(root / name, name)
    began = time.monotonic()
    Crew(folder, sweep.points, workers, os.environ, program=program(stub)).work()
    seconds = time.monotonic() - began
    assert all(folder.status(point) == DONE for point in sweep.points), "a trial failed"
    return seconds, read_measured(folder.path)


def main() -> None:
    """Measure, predict, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--stub", type=float, help="seconds of a stub; default: real runs")
    typed = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root, workers = Path(name), typed.workers
        _, alone = run(root, "alone", [100], 1, typed.stub)
        _, together = run(root, "together", list(range(101, 101 + workers)), workers, typed.stub)
        wall, seen = run(root, "trials", list(range(typed.trials)), workers, typed.stub)
    tell(f"{typed.trials} trials on {workers} workers, n = {typed.trials}")
    sources = {"one alone": alone, f"{workers} at once": together, "themselves": seen}
    for label, measured in sources.items():
        found = predict(measured, workers, typed.trials)
        predicted, low, high = (
            found[f"wall_seconds{part}"] for part in ("", "_at_least", "_at_most")
        )
        error = 100 * (predicted / wall - 1)
        tell(
            f"from {label:10} {measured.mean:6.1f} s a trial: predicted {predicted:6.1f} s "
            f"({low:.1f} to {high:.1f}), measured {wall:6.1f} s, error {error:+.1f} %"
        )
        disk = found["disk_bytes"] / (typed.trials * (seen.run_bytes or 1)) - 1
        tell(f"  disk: predicted {found['disk_bytes']:,} bytes, error {100 * disk:+.1f} %")
    tell(f"trials of the sweep: mean {seen.mean:.1f} s, sd {seen.sd:.1f}, n = {len(seen.seconds)}")


if __name__ == "__main__":
    main()
