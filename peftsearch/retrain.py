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
from peftsearch.evaluate import score
from peftsearch.rundir import atomic_path, write_json
from peftsearch.seeds import derive
from peftsearch.training import Job, Trained, train
from peftsearch.workspace import Workspace

ADAPTER = "adapter.safetensors"
HEAD = "head.safetensors"


def retrain(
    work: Workspace, architecture: Architecture, name: str, stage: str, folder: Path
) -> dict[str, Any]:
    """Train over all seeds; what is finished is read back, not trained again.

    Trains on all training rows (the selection split included: it chose the architecture, and
    scores nothing any more) for a fixed number of steps, so no split picks a checkpoint.

    Args:
        work: The run; nothing is inserted on its backbone before or after.
        architecture: What is inserted.
        name: Shown in progress.
        stage: ``retrain`` or ``baselines``.
        folder: Where ``seed-<k>`` folders go.

    Returns:
        ``mean``, ``sd`` (None for one seed), ``n``, ``values`` and ``num_params``.
    """
    config, values = work.config, []
    for k in range(config.seeds):
        file = folder / f"seed-{k}" / "metrics.json"
        job = Job(
            name=name if config.seeds == 1 else f"{name} seed {k}",
            stage=stage,
            architecture=architecture,
            steps=config.retrain.steps,
            seed=derive(config.seed, "retrain", k),
            checkpoint=file.with_name("checkpoint.safetensors"),
        )
        record = job.finished(file)
        if record is None:
            record = {"format": 1, "seed": k, **_train(work, job)}
            write_json(file, record)
            job.checkpoint.unlink(missing_ok=True)
        values.append(record["score"])
    return spread(values, architecture.num_params)


def _train(work: Workspace, job: Job) -> dict[str, Any]:
    """Train once, keep the weights beside the checkpoint, and score them on test."""
    model, task = work.backbone.model, work.task
    trained = train(work.session, work.backbone, work.format, work.features.train, job)
    with trained:
        metrics = score(work.session, model, task, work.format, work.features.test)
        for extra, features in work.features.more_tests.items():
            found = score(work.session, model, task, work.format, features)
            metrics.update({f"{extra}/{metric}": value for metric, value in found.items()})
        _save(trained, job.checkpoint.parent)
    return {
        "fingerprint": job.fingerprint,
        "metric": task.metric,
        "test": metrics,
        "score": metrics[task.metric],
        "num_params": trained.num_params,
        "head_params": work.backbone.num_head_parameters,
        "steps": job.steps,
        "seconds": trained.seconds,
        "final_loss": trained.final_loss,
    }


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
