"""The single stages, each on a run directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from peftsearch.cli import options as o
from peftsearch.cli.session import Session, session
from peftsearch.config.values import require_known
from peftsearch.errors import ConfigError
from peftsearch.progress import Progress
from peftsearch.rundir import RunDir

Target = Annotated[
    str,
    o.option("--to", text="Format to write (see: list exporters)."),
]
ExportOut = Annotated[
    Path | None,
    o.option("--out", metavar="DIR", text="Where to write. Default: RUN/export/<format>."),
]
TargetPython = Annotated[
    Path | None,
    o.option(
        "--target-python",
        metavar="PYTHON",
        text="Interpreter that has the target's library, where this one does not.",
    ),
]
Exported = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="Directory of a run; with --untrained also an architecture.json.",
        show_default=False,
    ),
]
Untrained = Annotated[
    bool,
    o.option("--untrained", text="Fresh weights, for a training elsewhere. Needs --out."),
]
Labels = Annotated[
    int | None,
    o.option(
        "--labels",
        min=1,
        text="With --untrained: labels of the head. Default: those of the task.",
    ),
]

Formats = Annotated[
    str | None,
    o.option(
        "--format",
        metavar="html,md,json,csv,png,svg",
        text="What to write, separated by commas. Default: all.",
    ),
]


def _stage(current: Session, name: str, run: Path, **options: Any) -> None:
    """Run one stage of the pipeline; what is needed for it must be there from earlier ones."""
    RunDir.open_existing(run, lock=False)
    current.run_dir = run
    from peftsearch import pipeline

    with Progress(current.console) as progress:
        pipeline.run_stage(name, run, listener=progress, **options)


def _done(current: Session, stage: str, run: Path, written: Path) -> None:
    data = {"run_dir": str(run), "stage": stage, "written": str(written)}
    current.console.result([str(written)], brief=str(run), data=data)


def search(
    run: o.Run, as_json: o.Json = False, quiet: o.Quiet = False, debug: o.Debug = False
) -> None:
    """Train the supernet and its gates.

    Reads config.yaml, sites.json and space.json. Writes search/.
    """
    with session(quiet=quiet, as_json=as_json, debug=debug) as current:
        _stage(current, "search", run)
        _done(current, "search", run, run / "search")


def discretise(
    run: o.Run, as_json: o.Json = False, quiet: o.Quiet = False, debug: o.Debug = False
) -> None:
    """Decide on one architecture.

    The gates propose, short trainings decide. Reads search/. Writes race.json
    and architecture.json.
    """
    with session(quiet=quiet, as_json=as_json, debug=debug) as current:
        _stage(current, "discretise", run)
        _done(current, "discretise", run, run / "architecture.json")


def retrain(
    run: o.Run, as_json: o.Json = False, quiet: o.Quiet = False, debug: o.Debug = False
) -> None:
    """Train the found architecture from scratch.

    Reads architecture.json. Writes retrain/.
    """
    with session(quiet=quiet, as_json=as_json, debug=debug) as current:
        _stage(current, "retrain", run)
        _done(current, "retrain", run, run / "retrain")


def baselines(
    run: o.Run, as_json: o.Json = False, quiet: o.Quiet = False, debug: o.Debug = False
) -> None:
    """Train what the found one is compared with.

    Uniform and random architectures of the same budget, by the same recipe. Reads sites.json
    and space.json. Writes baselines/.
    """
    with session(quiet=quiet, as_json=as_json, debug=debug) as current:
        _stage(current, "baselines", run)
        _done(current, "baselines", run, run / "baselines")


def export(
    run: Exported,
    to: Target,
    out: ExportOut = None,
    target_python: TargetPython = None,
    untrained: Untrained = False,
    labels: Labels = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Write the model for another trainer.

    What is written is checked by loading it back. Reads architecture.json and
    retrain/. Writes export/<format>/, or --out.
    """
    with session(quiet=quiet, as_json=as_json, debug=debug) as current:
        from peftsearch.catalogue import exporters

        require_known(to, list(exporters()), "--to", "exporters")
        if out is not None and out.exists() and not out.is_dir():
            raise ConfigError(f"{out} is a file, not a folder.", "Choose another with --out DIR.")
        if target_python is not None and not target_python.is_file():
            raise ConfigError(f"--target-python: {target_python} does not exist.")
        if untrained:
            _export_untrained(run, to, out, labels, target_python)
        else:
            python = {} if target_python is None else {"python": target_python}
            _stage(current, "export", run, to=to, out=out, **python)
        _done(current, "export", run, out or run / "export" / to)


def _export_untrained(
    run: Path, to: str, out: Path | None, labels: int | None, python: Path | None
) -> None:
    """Export the architecture of a run, or of a file, with fresh weights."""
    if out is None:
        raise ConfigError("--untrained is not part of a run.", "Say where to write: --out DIR")
    from peftsearch.stages import export_untrained

    path = run / "architecture.json" if run.is_dir() else run
    export_untrained(path, to, out, labels, python)


def report(
    run: o.Run,
    formats: Formats = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Rebuild the report from the run's files alone.

    Reads the run's JSON files. Writes report/: report.html, report.md for a model
    card, report.json (see: config schema report), tables/*.csv, figures/*.png, *.svg.
    """
    with session(quiet=quiet, as_json=as_json, debug=debug) as current:
        from peftsearch.report import FORMATS

        wanted = FORMATS if formats is None else [name.strip() for name in formats.split(",")]
        for name in wanted:
            require_known(name, FORMATS, "--format")
        _stage(current, "report", run, **({} if formats is None else {"formats": wanted}))
        first = next(name for name in FORMATS if name in wanted)
        file = f"report.{first}" if first in ("html", "md", "json") else ""
        _done(current, "report", run, run / "report" / file)
