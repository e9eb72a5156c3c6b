"""Retrain architectures from scratch over seeds, and score each once on test.

Place in the flow: architecture -> retrain -> export, report. The found architecture and every
baseline go through the same function: same rows, same steps, same seeds.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from peftsearch.architecture import Architecture
from peftsearch.backbones.base import Backbone
from peftsearch.evaluate import score
from peftsearch.formats import Feature, Format
from peftsearch.rundir import atomic_path, read_json, write_json
from peftsearch.seeds import derive
from peftsearch.session import Session
from peftsearch.tasks.base import Splits, Task
from peftsearch.training import Job, Trained, train

ADAPTER = "adapter.safetensors"
HEAD = "head.safetensors"


def retrain(
    session: Session,
    backbone: Backbone,
    task: Task,
    task_format: Format,
    splits: Splits,
    architecture: Architecture,
    name: str,
    stage: str,
    folder: Path,
) -> dict[str, Any]:
    """Train over all seeds; what is finished is read back, not trained again.

    Trains on all training rows (the selection split included: it chose the architecture, and
    scores nothing any more) for a fixed number of steps, so no split picks a checkpoint.

    Args:
        session: The run: settings, events, interruptions.
        backbone: The frozen model; nothing is inserted before or after.
        task: What is learned.
        task_format: How the task meets the model.
        splits: Its rows.
        architecture: What is inserted.
        name: Shown in progress.
        stage: ``retrain`` or ``baselines``.
        folder: Where ``seed-<k>`` folders go.

    Returns:
        ``mean``, ``sd`` (None for one seed), ``n``, ``values`` and ``num_params``.
    """
    rows = [*splits.search_train, *splits.search_valid, *splits.selection]
    features = task_format.features(rows)
    test = task_format.features(splits.test)
    values = []
    for k in range(session.config.seeds):
        target = folder / f"seed-{k}" / "metrics.json"
        if not target.is_file():
            _one_seed(session, backbone, task, task_format, splits, features, test,
                      architecture, name, stage, target.parent, k)  # fmt: skip
        values.append(read_json(target)["score"])
    return spread(values, architecture.num_params)


def _one_seed(
    session: Session,
    backbone: Backbone,
    task: Task,
    task_format: Format,
    splits: Splits,
    features: Sequence[Feature],
    test: Sequence[Feature],
    architecture: Architecture,
    name: str,
    stage: str,
    folder: Path,
    k: int,
) -> None:
    job = Job(
        name=name if session.config.seeds == 1 else f"{name} seed {k}",
        stage=stage,
        architecture=architecture,
        steps=session.config.retrain.steps,
        seed=derive(session.config.seed, "retrain", k),
        checkpoint=folder / "checkpoint.safetensors",
    )
    trained = train(session, backbone, task_format, features, job)
    metrics = score(session, backbone.model, task, task_format, splits.test, test)
    for extra, extra_rows in splits.more_tests.items():
        found = score(session, backbone.model, task, task_format, extra_rows,
                      task_format.features(extra_rows))  # fmt: skip
        metrics.update({f"{extra}/{metric}": value for metric, value in found.items()})
    _save(trained, folder)
    trained.remove()
    record = {
        "format": 1,
        "seed": k,
        "metric": task.metric,
        "test": metrics,
        "score": metrics[task.metric],
        "num_params": trained.num_params,
        "head_params": backbone.num_head_parameters,
        "steps": job.steps,
        "seconds": trained.seconds,
        "final_loss": trained.final_loss,
    }
    write_json(folder / "metrics.json", record)
    job.checkpoint.unlink(missing_ok=True)


def _save(trained: Trained, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file, tensors in ((ADAPTER, trained.weights()), (HEAD, trained.head())):
        if tensors:
            with atomic_path(folder / file) as temporary:
                save_file(tensors, temporary)


def spread(values: Sequence[float], num_params: int) -> dict[str, Any]:
    """Return the form of a score in ``summary.json``."""
    return {
        "mean": statistics.fmean(values),
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "n": len(values),
        "values": list(values),
        "num_params": num_params,
    }
