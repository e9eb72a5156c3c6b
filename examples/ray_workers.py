"""Workers of one study on a Ray cluster: Ray places them, Optuna's storage is what they share.

    python examples/ray_workers.py --workers 64 -- --task rte --trials 500 --out /shared/tune

All words after ``--`` are given to ``peftsearch tune``. The storage is a server that every node
reaches; its URL comes from PEFTSEARCH_STORAGE and its password from PGPASSWORD, not from the
command line. A worker whose node is lost is started again elsewhere; its trial goes to another
worker meanwhile.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections import Counter

import ray

#: What a worker takes from the environment of this program, if it is there.
PASSED = ("PEFTSEARCH_STORAGE", "PGPASSWORD", "HF_HOME", "HF_HUB_OFFLINE")
#: Stopped, resumable: not an error.
STOPPED = (130, 143)


def work(words: list[str], environ: dict[str, str]) -> int:
    """Be a worker until the study has all its trials; return the exit code."""
    return subprocess.run(["peftsearch", "tune", *words], env={**os.environ, **environ}).returncode


def main() -> None:
    """Read the options, start the workers, wait for all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--gpus", type=float, default=1, help="of each worker; 0 for none")
    parser.add_argument("--cpus", type=float, default=4, help="of each worker")
    parser.add_argument("words", nargs="*", help="for peftsearch tune, after --")
    typed = parser.parse_args()
    environ = {name: os.environ[name] for name in PASSED if name in os.environ}
    if "PEFTSEARCH_STORAGE" not in environ:
        sys.exit("Set PEFTSEARCH_STORAGE to the URL of a server that every node reaches.")
    ray.init(ignore_reinit_error=True)
    remote = ray.remote(num_gpus=typed.gpus, num_cpus=typed.cpus, max_retries=5)(work)
    codes = ray.get([remote.remote(typed.words, environ) for _ in range(typed.workers)])
    for code, number in sorted(Counter(codes).items()):
        sys.stdout.write(f"{number} workers ended with exit code {code}\n")
    sys.exit(max((code for code in codes if code not in STOPPED), default=0))


if __name__ == "__main__":
    main()
