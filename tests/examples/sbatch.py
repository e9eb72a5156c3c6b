"""Stands in for SLURM's sbatch: runs every task of an array here, once again when it is requeued.

Reads the array and the signal from the script's own lines. While a file ``preempt`` lies beside
this program, every first attempt of a task gets the signal once its worker has begun.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(sys.argv[0]).parent


def attempt(script: Path, words: list[str], task: int, preempted: bool, export: str) -> int:
    """Run a task once; return its exit code."""
    environ = os.environ | dict(pair.split("=", 1) for pair in export.split(",")[1:])
    environ |= {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(task)}
    begun = HERE / f"begun-{task}"
    begun.unlink(missing_ok=True)
    process = subprocess.Popen(["bash", script, *words], env=environ)
    if preempted:
        while not begun.exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)  # to the batch shell alone, as B: says
    return process.wait(60)


def main() -> None:
    """Run the array."""
    export, script, *words = sys.argv[1:]
    text = Path(script).read_text()
    first, last = re.findall(r"^#SBATCH --array=(\d+)-(\d+)$", text, flags=re.MULTILINE)[0]
    assert re.search(r"^#SBATCH --signal=B:TERM@\d+$", text, flags=re.MULTILINE)
    codes = []
    for task in range(int(first), min(int(last), int(first) + 1) + 1):  # two tasks will do
        stop = (HERE / "preempt").exists()
        code = attempt(Path(script), words, task, stop, export.removeprefix("--export="))
        requeued = HERE / f"requeued-7_{task}"
        if requeued.exists():
            assert code == 143, code
            code = attempt(Path(script), words, task, False, export.removeprefix("--export="))
        codes.append(code)
    sys.stdout.write(" ".join(map(str, codes)))


if __name__ == "__main__":
    main()
