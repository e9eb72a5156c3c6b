"""Build a table: train every architecture of a small space from scratch, over several seeds.

Place in the flow: beside the run; reads ``table.yaml`` and ``space.yaml`` of a table, writes its
``scores.csv`` and ``table.json``. Every training is that of a run: same loop, same rows as the
race trains on, scored on the selection split on its way and on test at its end. A row is appended
as soon as it is known; what is there already is not trained again.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import torch

from peftsearch import baselines
from peftsearch.bench.spec import FACTS, RUNGS, SCORES, TableSpec
from peftsearch.bench.table import at, label
from peftsearch.bench.workers import in_parallel
from peftsearch.config import RunConfig
from peftsearch.discretise import cost_of
from peftsearch.environment import versions
from peftsearch.errors import ConfigError, DivergedError
from peftsearch.evaluate import score
from peftsearch.garbage import frozen_heap
from peftsearch.interrupt import Interrupt
from peftsearch.rundir import Events, RunDir, read_json, write_json
from peftsearch.seeds import derive
from peftsearch.session import Session
from peftsearch.space import SearchSpace
from peftsearch.training import Job, train
from peftsearch.workspace import Workspace

#: Columns of scores.csv; ``at_…`` are selection scores after a share of the steps.
COLUMNS = (
    "architecture",
    "num_params",
    "seed",
    *map(at, RUNGS),
    "test",
    "seconds",
)
Candidates = tuple[int, ...]


class Silent(Events):
    """An event log that keeps nothing: a table is thousands of trainings."""

    def __init__(self) -> None:
        super().__init__(Path(os.devnull))

    def emit(self, stage: str, event: str, **fields: Any) -> None:
        """Do nothing."""

    def rewind(self, stage: str, step: int, **match: Any) -> None:
        """Do nothing."""


@contextlib.contextmanager
def workspace(config: RunConfig, *, stoppable: bool = True) -> Iterator[Workspace]:
    """Yield a workspace in a temporary directory, without an event log.

    Args:
        config: The configuration.
        stoppable: Whether a signal stops its loops; else it is left to whoever has asked.

    Raises:
        StoppedError: A signal arrived.
    """
    interrupt = Interrupt()
    with (
        tempfile.TemporaryDirectory() as folder,
        RunDir.create(config, Path(folder) / "run") as run,
        interrupt if stoppable else contextlib.nullcontext(),
    ):
        yield Workspace(Session(config, run, Silent(), interrupt))
        interrupt.check("the end")  # a signal that no loop has met must not be lost


def every_architecture(space: SearchSpace) -> list[Candidates]:
    """Return all assignments of a space, in lexicographic order of candidate indices."""
    return list(itertools.product(*(range(len(gate.candidates)) for gate in space.gates)))


def train_row(work: Workspace, candidates: Candidates, seed: int) -> dict[str, Any]:
    """Train one architecture once and score it; one that diverges scores 0 from there on.

    Returns:
        A row of ``scores.csv``; ``seconds`` is processor time, scoring included.
    """
    began = time.process_time()
    architecture = work.architecture(baselines.to_choices(work.full_space, candidates))
    steps = work.config.retrain.steps
    file = work.session.run.file("bench", "checkpoint.safetensors")
    job = Job("bench", "bench", architecture, steps, derive(0, "bench", seed), file)
    row: dict[str, Any] = dict.fromkeys(COLUMNS, 0.0)
    row |= {"architecture": label(candidates), "seed": seed}
    row["num_params"] = cost_of(work.full_space, candidates)
    with contextlib.suppress(DivergedError):
        for share in RUNGS:
            row[at(share)] = _scored(work, replace(job, until=round(share * steps)), row)
    file.unlink(missing_ok=True)
    row["seconds"] = round(time.process_time() - began, 2)
    return row


def _scored(work: Workspace, job: Job, row: dict[str, Any]) -> float:
    """Train on to a rung and score on the selection split, at the end on test too."""
    features, model, metric = work.features, work.backbone.model, work.task.metric
    with train(work.session, work.backbone, work.format, features.race_train, job):
        if job.until == job.steps:
            found = score(work.session, model, work.task, work.format, features.test)
            row["test"] = round(found[metric], 6)
        found = score(work.session, model, work.task, work.format, features.selection)
        return round(found[metric], 6)


@dataclass(frozen=True)
class Training:
    """One row that is wanted.

    Attributes:
        config: Configuration of the table.
        candidates: The architecture.
        seed: Its seed.
    """

    config: RunConfig
    candidates: Candidates
    seed: int


_KEPT: dict[str, Any] = {}


def train_one(job: Training) -> dict[str, Any]:
    """Train a row in the workspace that this process keeps for all rows of a table."""
    if _KEPT.get("config") != job.config:
        forget()
        stack = contextlib.ExitStack()
        work = stack.enter_context(workspace(job.config, stoppable=False))
        work.features.tokenise()
        # Everything that stays is loaded: collections need not look at it again.
        stack.enter_context(frozen_heap())
        _KEPT.update(config=job.config, work=work, stack=stack)
        Finalize(None, forget, exitpriority=1)  # atexit is not for worker processes
    return train_row(_KEPT["work"], job.candidates, job.seed)


def forget() -> None:
    """Close the workspace that this process keeps, if there is one."""
    if _KEPT:
        _KEPT["stack"].close()
        _KEPT.clear()


def build(
    spec: TableSpec,
    config: RunConfig,
    *,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
    most: int | None = None,
) -> Path:
    """Train what is missing of a table.

    All architectures with the first seed come first, in a shuffled order, so that an unfinished
    table is a fair sample.

    Args:
        spec: The table.
        config: Its configuration, from :meth:`TableSpec.config`.
        jobs: Worker processes of one thread each.
        progress: Called with the rows done and the rows in all.
        most: Train at most so many rows now.

    Returns:
        The path of ``scores.csv``.

    Raises:
        ConfigError: The folder holds another table.
        StoppedError: The user asked to stop; whole rows are kept.
    """
    with workspace(config) as work:
        space = work.full_space
        agree(spec, work)
    path = spec.folder / SCORES
    _cut_torn_line(path)
    done = {(row["architecture"], int(row["seed"])) for row in read_rows(path)}
    everything = every_architecture(space)
    order = torch.randperm(len(everything), generator=torch.Generator().manual_seed(0)).tolist()
    wanted = [Training(config, everything[i], seed) for seed in range(spec.seeds) for i in order]
    missing = [job for job in wanted if (label(job.candidates), job.seed) not in done][:most]
    progress(len(done), len(wanted))
    try:
        for count, row in enumerate(in_parallel(train_one, missing, jobs), start=1):
            _append(path, row)
            progress(len(done) + count, len(wanted))
    finally:
        forget()
    return path


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read ``scores.csv``; empty if it is not there."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _append(path: Path, row: dict[str, Any]) -> None:
    new = not path.is_file()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def _cut_torn_line(path: Path) -> None:
    """Drop half a row that a killed process left at the end."""
    content = path.read_bytes() if path.is_file() else b""
    if not content.endswith(b"\n") and content:
        os.truncate(path, content.rfind(b"\n") + 1)
    if path.is_file() and not path.stat().st_size:
        path.unlink()


def agree(spec: TableSpec, work: Workspace) -> None:
    """Write what a look-up needs without the model, or refuse if it does not agree.

    Raises:
        ConfigError: The folder holds a table of another space, recipe, model or data.
    """
    path = spec.folder / FACTS
    facts = {
        "format": 1,
        "name": spec.name,
        "metric": work.task.metric,
        "steps": spec.steps,
        "backbone_parameters": work.backbone.num_parameters,
        "data": work.data.fingerprint,
        "space": work.full_space.to_json(),
    }
    if not path.is_file():
        write_json(path, facts | {"versions": versions()})
        return
    known = read_json(path)
    wrong = [key for key in facts if known.get(key) != facts[key]]
    if wrong:
        raise ConfigError(
            f"{path} belongs to another table: {', '.join(wrong)} differ.",
            "Give the model and the data it was made with, or build elsewhere with --out DIR.",
        )
