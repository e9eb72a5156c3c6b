"""Stands in for ``peftsearch run``: makes a run directory with a lock, and computes nothing.

Environment: STUB_JOURNAL, a file to which every start and end is appended; STUB_SECONDS, how long
a run takes; STUB_FAIL, ``SEED=CODE`` pairs of runs that fail; STUB_HARD, whether SIGTERM is
ignored for that long too.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import time
from pathlib import Path

from filelock import FileLock, Timeout

STAGES = ("prepare", "search", "discretise", "retrain", "baselines", "export", "report")


def note(event: str, run: Path) -> None:
    """Append a line in one write, which the system does not mix with others."""
    handle = os.open(os.environ["STUB_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    device = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    os.write(handle, f"{event} {run.name} {os.getpid()} {device}\n".encode())
    os.close(handle)


def leave(number: int, frame: object) -> None:
    """End as a run does that was asked to stop."""
    sys.exit(128 + number)


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["run"])
    parser.add_argument("--config", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--resume", type=Path)
    typed = parser.parse_args()
    run = typed.out or typed.resume
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    run.mkdir(exist_ok=True)
    lock = FileLock(run / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        sys.exit("Error: in use")
    config = run / "config.yaml"
    if typed.resume is None:
        if config.exists():
            sys.exit("Error: not empty")
        config.write_text(typed.config.read_text())
    note("resume" if typed.resume else "start", run)
    found = re.search(r'^  "seed": (\d+),$', config.read_text(), flags=re.MULTILINE)
    assert found is not None
    failing = dict(pair.split("=") for pair in os.environ.get("STUB_FAIL", "").split())
    if found[1] in failing:
        sys.stderr.write(f"Warning: careful\nError: seed {found[1]} cannot be done.\n")
        sys.exit(int(failing[found[1]]))
    time.sleep(float(os.environ.get("STUB_SECONDS", "0")))
    entry = {"mean": 0.5 + 0.01 * int(found[1]), "sd": None, "n": 1, "values": [0.5]}
    summary = {"model": "m", "task": "t", "metric": "accuracy", "found": entry, "baselines": {}}
    (run / "summary.json").write_text(json.dumps(summary))
    stage = {"status": "done", "seconds": 1.0, "steps": 1, "peak_bytes": 0}
    manifest = {"format": 1, "stages": dict.fromkeys(STAGES, stage)}
    (run / "manifest.json").write_text(json.dumps(manifest))
    note("end", run)


if __name__ == "__main__":
    main()
