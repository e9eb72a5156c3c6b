"""The options of ``tune``, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from peftsearch.cli.options import option

STUDY = "Study"
WORKERS = "Workers"

Trials = Annotated[
    int, option("--trials", panel=STUDY, min=1, text="Trials in all, earlier ones included. "
                "Default 20.")
]  # fmt: skip
Storage = Annotated[
    str | None,
    option(
        "--storage",
        panel=STUDY,
        metavar="URL",
        envvar="PEFTSEARCH_STORAGE",
        show_envvar=False,
        text="Where the study lies: sqlite:///FILE.db, journal:FILE.journal, "
        "postgresql://USER@HOST/NAME, mysql://USER@HOST/NAME; PEFTSEARCH_STORAGE does the same. "
        "Default: study.db in --out.",
    ),
]
Study = Annotated[
    str, option("--study", panel=STUDY, metavar="NAME", text="Name in the storage. Default tune.")
]
TuneSpace = Annotated[
    Path | None,
    option(
        "--tune-space",
        panel=STUDY,
        metavar="FILE",
        text="YAML file of keys and ranges, e.g. search.arch_lr: {low: 0.02, high: 0.4, "
        "log: true}. Default: a packaged one.",
    ),
]
Sampler = Annotated[
    str, option("--sampler", panel=STUDY, text="tpe, random, cmaes or nsga2. Default tpe.")
]
Pruner = Annotated[
    str | None,
    option(
        "--pruner",
        panel=STUDY,
        text="hyperband, asha, median or none: stops a trial at a rung of the race. Default "
        "hyperband; with two objectives none.",
    ),
]
Objectives = Annotated[
    str,
    option(
        "--objectives",
        panel=STUDY,
        text="score, or score,parameters for the front between both. Default score.",
    ),
]
Baselines = Annotated[
    bool,
    option(
        "--tune-baselines",
        panel=STUDY,
        text="Tune every uniform baseline with as many trials, each in a study of its own.",
    ),
]
Workers = Annotated[
    int, option("--workers", panel=WORKERS, min=1, text="Workers on this machine. Default 1.")
]
Lease = Annotated[
    float,
    option(
        "--lease",
        panel=WORKERS,
        min=1,
        text="Seconds after which a silent worker's trial is given to another. Default 60.",
    ),
]
Patience = Annotated[
    float,
    option(
        "--patience",
        panel=WORKERS,
        min=0,
        text="Seconds to wait for a storage that does not answer. Default 300.",
    ),
]
Attempts = Annotated[
    int,
    option(
        "--attempts",
        panel=WORKERS,
        min=1,
        text="How often a trial is begun at most when its worker was lost, its process was "
        "killed or the memory was full. Default 3.",
    ),
]
PrintCommand = Annotated[
    bool,
    option(
        "--print-worker-command",
        panel=WORKERS,
        text="Print the command of one more worker, for a scheduler, and end.",
    ),
]
#: For tests, and for those who know what a trial says: see ``peftsearch/tune/child.py``.
TrialModule = Annotated[str, option("--trial-module", hidden=True, text="Module run as a trial.")]
#: Of a worker that another process began, which writes what was found itself.
Member = Annotated[bool, option("--member", hidden=True, text="Write nothing at the end.")]

#: Kinds and defaults by name.
OPTIONS: dict[str, tuple[Any, Any]] = {
    "trials": (Trials, 20),
    "storage": (Storage, None),
    "study": (Study, "tune"),
    "tune_space": (TuneSpace, None),
    "sampler": (Sampler, "tpe"),
    "pruner": (Pruner, None),
    "objectives": (Objectives, "score"),
    "tune_baselines": (Baselines, False),
    "workers": (Workers, 1),
    "lease": (Lease, 60.0),
    "patience": (Patience, 300.0),
    "attempts": (Attempts, 3),
    "print_worker_command": (PrintCommand, False),
    "member": (Member, False),
    "trial_module": (TrialModule, "peftsearch.tune.child"),
}
