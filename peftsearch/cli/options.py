"""The options that commands share, declared once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

WHAT = "What to search"
BUDGET = "Budget"
TRAINING = "Search and retrain"
OUTPUT = "Output"
HARDWARE = "Hardware"


def _completer(read: Callable[[], list[str]]) -> Callable[[str], list[str]]:
    return lambda incomplete: [name for name in read() if name.startswith(incomplete)]


def _tasks() -> list[str]:
    from peftsearch.tasks import all_tasks

    return list(all_tasks())


def _spaces() -> list[str]:
    from peftsearch.catalogue import spaces

    return list(spaces())


def _exporters() -> list[str]:
    from peftsearch.catalogue import exporters

    return list(exporters())


def _strategies() -> list[str]:
    from peftsearch.catalogue import strategies

    return list(strategies())


def option(*names: str, text: str, panel: str | None = None, **more: Any) -> Any:
    """Return an option as all commands have them: its text names the default, if there is one.

    Args:
        names: As typed, e.g. ``--out``.
        text: Its line in the help.
        panel: Box of the help it stands in.
        more: Further settings of :func:`typer.Option`.
    """
    return typer.Option(*names, rich_help_panel=panel, help=text, show_default=False, **more)


Model = Annotated[
    str | None,
    option(
        "--model",
        panel=WHAT,
        metavar="ID|DIR",
        text="Backbone: built-in name, Hub id or folder (see: list models). Default micro-t5.",
    ),
]
Task = Annotated[
    str | None,
    option(
        "--task",
        panel=WHAT,
        metavar="NAME|FILE.yaml|hf:ID[:CONFIG]|KIND",
        autocompletion=_completer(_tasks),
        text="Task to search on (see: list tasks), a data set of the Hub, or a kind of task "
        "with --data. Default micro-nli.",
    ),
]
TextColumns = Annotated[
    str | None,
    option(
        "--text-columns",
        panel=WHAT,
        metavar="NAME,NAME",
        text="Columns with the texts, for --task hf:... or KIND. Default: found by their types.",
    ),
]
LabelColumn = Annotated[
    str | None,
    option(
        "--label-column",
        panel=WHAT,
        metavar="NAME",
        text="Column with what is right, likewise.",
    ),
]
TaskKind = Annotated[
    str | None,
    option(
        "--kind",
        panel=WHAT,
        text="classification, regression, generation, tagging, extraction, image-classification "
        "or image-text-retrieval, likewise.",
    ),
]
Format = Annotated[
    str | None,
    option(
        "--format",
        panel=WHAT,
        metavar="auto|text|head",
        text="Whether a model writes the label word or gets a head. Default auto: decoders write.",
    ),
]
Data = Annotated[
    Path | None,
    option(
        "--data",
        panel=WHAT,
        metavar="DIR",
        text="Folder with train and validation files, optionally test, as .jsonl, .jsonl.gz, "
        ".csv, .tsv or .parquet. Default: the task's own rows.",
    ),
]
Backbone = Annotated[
    str | None,
    option(
        "--backbone",
        panel=WHAT,
        metavar="FILE.yaml",
        text="Where the parts of the model stand, if its type is not known (docs/backbones.md). "
        "Default: found by inspection.",
    ),
]
Space = Annotated[
    str | None,
    option(
        "--space",
        panel=WHAT,
        metavar="NAME|FILE.yaml",
        autocompletion=_completer(_spaces),
        text="Search space (see: list spaces). Default: default.",
    ),
]
ExportableTo = Annotated[
    str | None,
    option(
        "--exportable-to",
        panel=WHAT,
        metavar="NAME,NAME,...",
        autocompletion=_completer(_exporters),
        text="Search only for what each of these can hold (see: list exporters). Default: "
        "anything.",
    ),
]
Budget = Annotated[
    str | None,
    option(
        "--budget",
        panel=BUDGET,
        text="Most parameters to train, head excluded: 1%, 0.0139%, 1e-3 (share of the frozen "
        "backbone), 100k, 2.2M, 102458 (parameters). Several with commas: one search, a run for "
        "each. Default 1%.",
    ),
]
MaxBytes = Annotated[
    str | None,
    option(
        "--max-bytes",
        panel=BUDGET,
        text="Most bytes of adapter.safetensors: 200k, 2MB, 1.5MiB. Default: no such limit.",
    ),
]
MaxModulesPerLayer = Annotated[
    int | None,
    option(
        "--max-modules-per-layer",
        panel=BUDGET,
        text="Most insertions in one layer. Default: no such limit.",
    ),
]
MaxTrainFlops = Annotated[
    str | None,
    option(
        "--max-train-flops",
        panel=BUDGET,
        text="Most FLOPs of one training: 80% (of LoRA at every site) or 2.5e15. Layers below the "
        "lowest adapted one need no backward pass. Default: no such limit.",
    ),
]
MaxLatency = Annotated[
    str | None,
    option(
        "--max-latency",
        panel=BUDGET,
        text="Most that a forward pass may take longer than that of the frozen model, e.g. 5%; "
        "measured on this machine. Default: no such limit.",
    ),
]
MergeableOnly = Annotated[
    bool | None,
    option(
        "--mergeable-only",
        panel=BUDGET,
        text="Search only for what can be merged into the backbone's weights: no overhead at "
        "inference.",
    ),
]
Preset = Annotated[
    str | None,
    option(
        "--preset",
        panel=TRAINING,
        text="quick, standard or thorough: steps, seeds and contestants. Default quick.",
    ),
]
ArchitectureFile = Annotated[
    Path | None,
    option(
        "--architecture",
        panel=TRAINING,
        metavar="FILE",
        text="Train this architecture.json instead of searching for one.",
    ),
]
WarmStart = Annotated[
    Path | None,
    option(
        "--warm-start",
        panel=TRAINING,
        metavar="RUN|FILE",
        text="Begin with what an earlier run, or an architecture.json, found "
        "(strength: --set search.warm_strength=1).",
    ),
]
FreezeChoices = Annotated[
    Path | None,
    option(
        "--freeze-choices",
        panel=TRAINING,
        metavar="FILE",
        text="Keep what this architecture.json chooses, and search for the rest of the budget.",
    ),
]
FreezeSites = Annotated[
    str | None,
    option(
        "--freeze-sites",
        panel=TRAINING,
        metavar="PATTERN,...",
        text="Keep it at these sites only, e.g. encoder.* or *.norm, empty ones included. "
        "Default: wherever it chooses something.",
    ),
]
Strategy = Annotated[
    str | None,
    option(
        "--strategy",
        panel=TRAINING,
        autocompletion=_completer(_strategies),
        text="How to search (see: list strategies). Default priced.",
    ),
]
Seed = Annotated[
    int | None, option("--seed", panel=TRAINING, text="Root of all randomness. Default 0.")
]
Seeds = Annotated[
    int | None,
    option(
        "--seeds", panel=TRAINING, text="How many seeds to retrain over. Default: the preset's."
    ),
]
TrainRows = Annotated[
    int | None,
    option(
        "--train-rows",
        panel=TRAINING,
        text="Use only this many training rows, drawn at random by --seed with the shares of "
        "the labels kept. Default: all.",
    ),
]
TestRows = Annotated[
    int | None,
    option(
        "--test-rows",
        panel=TRAINING,
        text="Use only this many test rows, drawn likewise. Default: all.",
    ),
]
ConfigFile = Annotated[
    Path | None,
    option(
        "--config", panel=TRAINING, metavar="FILE", text="YAML file with keys as in config.yaml."
    ),
]
Override = Annotated[
    list[str] | None,
    option(
        "--set",
        panel=TRAINING,
        metavar="KEY=VALUE",
        text="Set any key, e.g. search.arch_lr=0.01; repeatable, comes last.",
    ),
]
Out = Annotated[
    Path | None,
    option(
        "--out", panel=OUTPUT, metavar="DIR", text="Run directory. Default: a dated one in runs/."
    ),
]
Resume = Annotated[
    Path | None,
    option("--resume", panel=OUTPUT, metavar="DIR", text="Continue the run in this directory."),
]
Json = Annotated[
    bool, option("--json", panel=OUTPUT, text="Print one JSON object on standard output.")
]
Quiet = Annotated[
    bool, option("--quiet", panel=OUTPUT, text="Print only the path of what was written.")
]
Debug = Annotated[bool, option("--debug", panel=OUTPUT, text="Print tracebacks.")]
Precision = Annotated[
    str | None, option("--precision", panel=HARDWARE, text="fp32 or bf16. Default fp32.")
]
LoadIn = Annotated[
    str | None,
    option(
        "--load-in",
        panel=HARDWARE,
        metavar="8bit|4bit",
        text="Keep the frozen linear maps quantised, with bitsandbytes on CUDA (docs/memory.md). "
        "Default: in the precision.",
    ),
]
GradientCheckpointing = Annotated[
    bool | None,
    option(
        "--gradient-checkpointing",
        panel=HARDWARE,
        text="Compute activations again in the backward pass instead of keeping them: less memory, "
        "more time, the same result.",
    ),
]
GroupByLength = Annotated[
    bool | None,
    option(
        "--group-by-length",
        panel=HARDWARE,
        text="Batches of texts of like length: less padding, so faster; another order of the rows.",
    ),
]
Device = Annotated[
    str | None,
    option("--device", panel=HARDWARE, text="auto, cpu, mps, cuda or cuda:N. Default auto."),
]
Devices = Annotated[
    int | None,
    option(
        "--devices",
        panel=HARDWARE,
        text="Compute each batch together on this many devices of this machine. Default 1.",
    ),
]
MaxSeconds = Annotated[
    float | None,
    option(
        "--max-seconds",
        panel=HARDWARE,
        text="Save and stop after this time, resumable, as after SIGTERM. Default: never.",
    ),
]
GraceSeconds = Annotated[
    float | None,
    option(
        "--grace-seconds",
        panel=HARDWARE,
        text="Leave at the latest so long after SIGTERM, with what was saved last. Default 25.",
    ),
]
Track = Annotated[
    list[str] | None,
    option(
        "--track",
        panel=OUTPUT,
        metavar="tensorboard|wandb|mlflow",
        text="Follow figures there too; repeatable. Default: nowhere.",
    ),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run.", show_default=False)]
