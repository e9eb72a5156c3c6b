"""A pipeline that computes nothing, in place of the real one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from peftsearch.config import RunConfig
from peftsearch.rundir import STAGES, Manifest, RunDir, write_json

SUMMARY: dict[str, Any] = {
    "format": 1,
    "model": "micro-t5",
    "task": "micro-nli",
    "metric": "accuracy",
    "higher_is_better": True,
    "headline": "Found beats every baseline.",
    "budget": {"requested": "1%", "limit": 2850, "used": 2848, "denominator": 285000, "head": 12},
    "found": {"mean": 0.91, "sd": 0.004, "n": 3, "values": [0.91], "num_params": 2848},
    "baselines": {
        "random-1": {"mean": 0.85, "sd": None, "n": 1, "values": [0.85], "num_params": 2840},
        "uniform-lora": {"mean": 0.9, "sd": 0.01, "n": 3, "values": [0.9], "num_params": 2800},
    },
    "alerts": [{"code": "one_seed", "text": "One seed only."}],
    "cost": {"seconds": {}, "steps": {}, "peak_bytes": {}, "single_trainings": 4.0},
    "exports": {"native": {"verified": True, "max_logit_difference": 0.0}},
    "search_seed": 0,
}
PLAN: dict[str, Any] = {
    "model": "micro-t5",
    "task": "micro-nli",
    "family": "t5",
    "backbone_parameters": 285000,
    "head_parameters": 0,
    "space": {
        "name": "default",
        "gates": 20,
        "sites": 18,
        "candidates": 90,
        "combine": "one",
        "min_cost": 16,
        "max_cost": 90000,
        "exportable_to": ["peft", "merged"],
        "removed": [
            {
                "method": "prefix",
                "targets": ["peft"],
                "reason": "PEFT has none",
                "sites": 4,
                "candidates": 8,
            }
        ],
    },
    "budget": {"requested": "1%", "limit": 2850, "denominator": 285000, "binds": True},
    "limits": [],
    "frozen": {"sites": 0, "num_params": 0},
    "data": {"search_train": 1000, "search_valid": 400, "selection": 200, "test": None},
    "stages": [
        {"name": "search", "steps": 300, "trainings": 1},
        {"name": "retrain", "steps": 200, "trainings": 3},
    ],
    "single_trainings": 9.5,
    "memory_bytes": {
        "stages": {
            "search": {
                "rows_at_once": 8,
                "frozen_weights": 1200000,
                "activations": None,
                "total": None,
            }
        },
        "note": "an estimate",
    },
    "exports": {
        "native": {"ok": True, "methods": {"lora": "yes", "prefix": "yes"}, "reasons": []},
        "peft": {
            "ok": False,
            "methods": {"lora": "yes", "prefix": "no", "bitfit": "in part"},
            "reasons": ["prefix: PEFT has none"],
        },
        "other": {"ok": False, "methods": {"lora": "no"}, "reasons": ["lora: it has none"]},
    },
    "warnings": ["One seed says little."],
}


@dataclass
class Done:
    """What ``pipeline.run`` returns."""

    run_dir: Path
    summary: dict[str, Any]


@dataclass
class Pipeline:
    """The stub; set ``fail`` to let every call end in an error.

    Attributes:
        calls: Name and arguments of every call.
        fail: Raised instead of returning, once the run directory has been made.
    """

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    fail: BaseException | None = None

    def run(
        self,
        config: RunConfig,
        *,
        out: Path | None,
        resume: Path | None,
        command: list[str],
        listener: Callable[[dict[str, Any]], None],
    ) -> Done:
        """Make a run directory and tell a few events."""
        self.calls.append(("run", {"config": config, "out": out, "resume": resume}))
        run = RunDir.create(config, out) if resume is None else RunDir.open_existing(resume)
        with run:
            Manifest(run.file("manifest.json")).update(command=command)
            for stage in STAGES:
                listener({"stage": stage, "event": "start"})
                for step in (1, 2):
                    listener(
                        {
                            "stage": stage,
                            "event": "step",
                            "step": step,
                            "steps": 2,
                            "train_loss": 0.5,
                        }
                    )
                listener({"stage": stage, "event": "finish", "seconds": 1.0})
            if self.fail is not None:
                raise self.fail
            write_json(run.file("summary.json"), SUMMARY)
        return Done(run.path, SUMMARY)

    def plan(self, config: RunConfig) -> dict[str, Any]:
        """Return the plan above."""
        self.calls.append(("plan", {"config": config}))
        if self.fail is not None:
            raise self.fail
        return PLAN

    def run_stage(self, name: str, run_dir: Path, **options: Any) -> None:
        """Note the call."""
        options.pop("listener")
        self.calls.append((name, {"run_dir": run_dir, **options}))
        if self.fail is not None:
            raise self.fail


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str


Invoke = Callable[..., Outcome]


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """Put the stub in the place of what the commands call."""
    stub = Pipeline()
    for name in ("run", "plan", "run_stage"):
        monkeypatch.setattr(f"peftsearch.pipeline.{name}", getattr(stub, name))
    return stub


@pytest.fixture
def invoke(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Invoke:
    """Return a function that runs one command line in an empty folder."""
    from peftsearch.cli import main

    monkeypatch.chdir(tmp_path)
    for name in ("PEFTSEARCH_DEBUG", "CI", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def call(*words: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["peftsearch", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), captured.out, captured.err)

    return call
