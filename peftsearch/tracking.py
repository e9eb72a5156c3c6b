"""Figures of a run in TensorBoard, Weights & Biases or MLflow, through Accelerate's trackers.

Place in the flow: listens to the events that go into ``events.jsonl``, in the leading process;
what they write without a server lies in ``RUN/track``. Torch-free to import.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from peftsearch import ranks
from peftsearch.config import RunConfig, to_mapping
from peftsearch.config.layers import FREE_ON_RESUME
from peftsearch.environment import without_secrets
from peftsearch.errors import MissingError
from peftsearch.rundir import RunDir, read_json, write_text

PROJECT = "peftsearch"
FOLDER = "track"
#: The package that each tracker wants, and how it is imported.
PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}
#: Fields of an event that say where in a loop it belongs and are no figures.
_PLACE = ("step", "steps", "search")
_RUN_ID = "mlflow-run.txt"


def require_trackers(names: Sequence[str]) -> None:
    """Check that the packages of trackers are installed.

    Raises:
        MissingError: One is not.
    """
    missing = [name for name in names if importlib.util.find_spec(PACKAGES[name]) is None]
    if missing:
        message = f"--track {missing[0]}: the package {PACKAGES[missing[0]]} is not installed."
        raise MissingError(message, 'pip install "peftsearch[track]"')


class Tracking:
    """The trackers of one run.

    Args:
        accelerator: Made with ``log_with``; its trackers are started here.
        config: The resolved configuration, noted as the hyperparameters.
        run: The run directory.
        tell: Called with a sentence when a tracker fails later on; the run goes on without it.

    Raises:
        MissingError: A tracker cannot be started: no login, no server.
    """

    def __init__(
        self, accelerator: Any, config: RunConfig, run: RunDir, tell: Callable[[str], None]
    ) -> None:
        self.accelerator, self.run, self.tell = accelerator, run, tell
        folder = run.file(FOLDER)
        folder.mkdir(exist_ok=True)
        settings = {
            "wandb": _wandb(run, folder) if "wandb" in config.track else {},
            "mlflow": _mlflow(run.path, folder) if "mlflow" in config.track else {},
        }
        try:
            accelerator.init_trackers(PROJECT, hyperparameters(config), settings)
        except Exception as error:  # each library has its own; all mean that it cannot be reached
            reason = first_line(str(error))
            hint = "Log in, or stay offline: export WANDB_MODE=offline; unset MLFLOW_TRACKING_URI"
            raise MissingError(f"--track cannot start: {reason}", hint) from error
        if "mlflow" in config.track:
            found = accelerator.get_tracker("mlflow", unwrap=True)
            with ranks.apart():
                write_text(folder / _RUN_ID, found.info.run_id)

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Take one event."""
        if "step" in event:
            figures = step_figures(event)
            self._log(figures, int(event["step"]), f"{series(event)}/step")
        elif event["event"] == "finish":
            self._log(stage_figures(event["stage"], self.run), 0, "")

    def _log(self, figures: Mapping[str, float], step: int, counter: str) -> None:
        if not figures:
            return
        for tracker in list(self.accelerator.trackers):
            try:
                if tracker.name == "wandb":
                    # Its one count of steps may only rise: a loop's own goes beside the figures.
                    tracker.log({**figures, **({counter: step} if counter else {})})
                else:
                    tracker.log(dict(figures), step=step)
            except Exception as error:  # a server that is down must not end a training
                self.accelerator.trackers.remove(tracker)
                self.tell(f"{tracker.name} is followed no more: {first_line(str(error))}")

    def close(self) -> None:
        """Let the trackers write what they still hold."""
        for tracker in self.accelerator.trackers:
            tracker.finish()


def series(event: Mapping[str, Any]) -> str:
    """Return under which name the figures of a loop are drawn, e.g. ``retrain/found seed 0``."""
    name = str(event.get("name", ""))
    if event["event"] == "measure":
        return "measure"
    stage = "race" if event["stage"] == "discretise" else str(event["stage"])
    return f"{stage}/{name}" if name else stage


def step_figures(event: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of a step by their full names."""
    return {
        f"{series(event)}/{key}": float(value)
        for key, value in event.items()
        if key not in _PLACE and isinstance(value, int | float) and not isinstance(value, bool)
    }


def stage_figures(stage: str, run: RunDir) -> dict[str, float]:
    """Return the scores that a finished stage has left in its files."""
    if stage == "discretise":
        race = read_json(run.file("race.json"))
        rows = {row["name"]: row["score"] for row in race["contestants"]}
        named = {f"race/{name}/score": score for name, score in rows.items()}
    elif stage in ("retrain", "baselines"):
        pattern = "metrics.json" if stage == "retrain" else "*/metrics.json"
        records = [read_json(path) for path in sorted(run.file(stage).glob(pattern))]
        named = {f"{stage}/{record['name']}/score": record["mean"] for record in records}
    else:
        named = {}
    return {name: float(value) for name, value in named.items() if value is not None}


def hyperparameters(config: RunConfig) -> dict[str, Any]:
    """Return every key that decides a result by its dotted name.

    Passwords inside of addresses are left out; so is what may change when a run is resumed, as
    MLflow holds hyperparameters to be constants.
    """
    found: dict[str, Any] = {}

    def walk(values: Mapping[str, Any], prefix: str) -> None:
        for key, value in values.items():
            name = f"{prefix}{key}"
            if isinstance(value, Mapping):
                walk(value, f"{name}.")
            elif isinstance(value, int | float):
                found[name] = value
            else:
                text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
                found[name] = without_secrets(text) if "://" in text else text

    walk(to_mapping(config), "")
    return {name: value for name, value in found.items() if name not in FREE_ON_RESUME}


def first_line(text: str) -> str:
    """Return the first line of a library's message."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else "no reason given"


def _wandb(run: RunDir, folder: Path) -> dict[str, Any]:
    """Return how a run is called there: a resumed one goes on under the same name."""
    import wandb

    quiet = wandb.Settings(console="off", silent=True, disable_git=True, disable_code=True)
    born = f"{run.path.absolute()} {run.manifest().data['created']}"
    identity = hashlib.sha256(born.encode()).hexdigest()[:16]
    return {
        "name": run.path.name,
        "id": identity,
        "resume": "allow",
        "dir": str(folder),
        "settings": quiet,
    }


def _mlflow(run: Path, folder: Path) -> dict[str, Any]:
    """Return how a run is called there; without a server it lies in a database of its own."""
    import mlflow

    if not os.environ.get("MLFLOW_TRACKING_URI"):
        mlflow.set_tracking_uri(f"sqlite:///{(folder / 'mlflow.db').absolute()}")
    kept = folder / _RUN_ID
    known = {"run_id": kept.read_text(encoding="utf-8")} if kept.is_file() else {}
    return {"run_name": run.name, "logging_dir": str(folder.absolute()), **known}
