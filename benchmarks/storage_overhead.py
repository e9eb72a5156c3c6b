"""What Optuna's storages cost: 1,000 stub trials on each, with one and two worker processes.

    python benchmarks/storage_overhead.py --trials 1000

A trial suggests eight parameters, reports at three rungs, sets four attributes and trains
nothing. The sampler draws at random, so that what is measured is the storage; the same trials on
a storage in memory stand beside it. Every worker is a process of its own and imports Optuna before
the clock starts.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

PARAMETERS, RUNGS, ATTRIBUTES = 8, 3, 4
KINDS = ("memory", "sqlite", "journal")


def storage(kind: str, folder: Path) -> BaseStorage:
    """Open a storage in a folder."""
    if kind == "sqlite":
        return RDBStorage(f"sqlite:///{folder / 'study.db'}")
    if kind == "journal":
        return JournalStorage(JournalFileBackend(str(folder / "study.log")))
    return InMemoryStorage()


def objective(trial: optuna.Trial) -> float:
    """Do what a trial of a search tells the storage, and nothing else."""
    found = [trial.suggest_float(f"rate_{i}", 1e-5, 1e-1, log=True) for i in range(PARAMETERS)]
    for rung in range(RUNGS):
        trial.report(sum(found), rung)
    for number in range(ATTRIBUTES):
        trial.set_user_attr(f"fact_{number}", f"runs/trial-{trial.number:04d}")
    return sum(found)


def work(kind: str, folder: Path, trials: int, seed: int, ready: Barrier, times: object) -> None:
    """Make so many trials, and tell when they began and ended."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.RandomSampler(seed=seed)
    opened = storage(kind, folder)
    if kind == "memory":
        study = optuna.create_study(storage=opened, sampler=sampler)
    else:
        study = optuna.load_study(study_name="stubs", storage=opened, sampler=sampler)
    ready.wait()
    began = time.time()
    study.optimize(objective, n_trials=trials)
    times.put((began, time.time()))  # type: ignore[attr-defined]


def measure(kind: str, trials: int, workers: int) -> tuple[float, float]:
    """Return seconds and bytes a trial."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        folder, times = Path(name), context.Queue()
        if kind != "memory":
            optuna.create_study(study_name="stubs", storage=storage(kind, folder))
        ready, share = context.Barrier(workers), trials // workers
        crew = [
            context.Process(target=work, args=(kind, folder, share, seed, ready, times))
            for seed in range(workers)
        ]
        for process in crew:
            process.start()
        ends = [times.get() for _ in crew]
        for process in crew:
            process.join()
        if kind != "memory":
            study = optuna.load_study(study_name="stubs", storage=storage(kind, folder))
            states = [trial.state.name for trial in study.trials]
            assert states == ["COMPLETE"] * (share * workers), "a trial was lost or doubled"
        size = sum(path.stat().st_size for path in folder.iterdir())
    seconds = max(end for _, end in ends) - min(begin for begin, _ in ends)
    return seconds / (share * workers), size / (share * workers)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--storages", nargs="*", default=KINDS, choices=KINDS)
    typed = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    facts = f"{PARAMETERS} parameters, {RUNGS} reports, {ATTRIBUTES} attributes"
    sys.stdout.write(f"{typed.trials} stub trials: {facts}; Optuna {optuna.__version__}\n")
    sys.stdout.write(f"{'storage':8} {'workers':>7} {'ms a trial':>11} {'bytes a trial':>14}\n")
    for kind in typed.storages:
        for workers in typed.workers if kind != "memory" else [1]:
            seconds, size = measure(kind, typed.trials, workers)
            sys.stdout.write(f"{kind:8} {workers:>7} {1000 * seconds:>11.1f} {size:>14,.0f}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
