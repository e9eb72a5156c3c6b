"""The single stages, each on a run directory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from peftsearch import ranks
from peftsearch.cli import options as o
from peftsearch.cli import publishing
from peftsearch.cli.session import Session, session
from peftsearch.cli.together import agreed, check_devices, on_devices, take_place
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


def stage(current: Session, name: str, run: Path, **options: Any) -> None:
    """Run one stage of the pipeline; what is needed for it must be there from earlier ones."""
    wanted = RunDir.open_existing(run, lock=False).config()
    current.run_dir = run
    take_place(current)
    if name not in ("export", "report"):  # those compute on one device
        settings = replace(wanted, devices=agreed(wanted.devices, None))
        check_devices(settings)
        if on_devices(current, settings.devices, run):
            return
    elif not ranks.leads():
        return
    from peftsearch import pipeline

    with Progress(current.console) as progress:
        pipeline.run_stage(name, run, listener=progress, **options)


def done(current: Session, stage: str, run: Path, written: Path) -> None:
    """Tell what a stage has written."""
    data = {"run_dir": str(run), "stage": stage, "written": str(written)}
    current.console.result([str(written)], brief=str(run), data=data)


def search(
    run: o.Run, as_json: o.Json = False, quiet: o.Quiet = False, debug: o.Debug = False
) -> None:
    """Train the supernet and its gates.

    Reads config.yaml, sites.json and space.json. Writes search/.
    """
    with session(quiet=quiet, as_json=as_json, debug=debug) as current:
        stage(current, "search", run)
        done(current, "search", run, run / "search")


def discretise(
    run: o.Run, as_json: o.Json = False, quiet: o.Quiet = False, debug: o.Debug = False
) -> None:
    """Decide on one architecture.

    The gates propose, short trainings decide. Reads search/. Writes race.json
    and architecture.json.
    """
    with session(quiet=quiet, as_json=as_json, debug=debug) as current:
        stage(current, "discretise", run)
        done(current, "discretise", run, run / "architecture.json")


def baselines(
    run: o.Run, as_json: o.Json = False, quiet: o.Quiet = False, debug: o.Debug = False
) -> None:
    """Train what the found one is compared with.

    Uniform and random architectures of the same budget, by the same recipe. Reads sites.json
    and space.json. Writes baselines/.
    """
    with session(quiet=quiet, as_json=as_json, debug=debug) as current:
        stage(current, "baselines", run)
        done(current, "baselines", run, run / "baselines")


def export(
    run: Exported,
    to: Target,
    out: ExportOut = None,
    target_python: TargetPython = None,
    untrained: Untrained = False,
    labels: Labels = None,
    backbone: o.Backbone = None,
    repo: publishing.Repo = None,
    form: publishing.From = None,
    public: publishing.Public = False,
    dry_run: publishing.DryRun = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Write the model for another trainer, or upload it.

    What is written is checked by loading it back. Reads architecture.json and
    retrain/. Writes export/<format>/, or --out.

    With --to hub the export gets a model card (README.md), its files are listed, and then
    uploaded in one commit: to a new repository or in the place of an earlier export. A new
    one is private.
    """
    with session(quiet=quiet, as_json=as_json, debug=debug) as current:
        from peftsearch.catalogue import exporters

        require_known(to, [*exporters(), publishing.HUB], "--to", "exporters")
        wanted = publishing.publication(to, repo, form, public, dry_run)
        if out is not None and out.exists() and not out.is_dir():
            raise ConfigError(f"{out} is a file, not a folder.", "Choose another with --out DIR.")
        if target_python is not None and not target_python.is_file():
            raise ConfigError(f"--target-python: {target_python} does not exist.")
        if untrained and out is None:
            message = "--untrained is not part of a run."
            raise ConfigError(message, "Say where to write: --out DIR")
        if backbone is not None and not untrained:
            message = "--backbone goes with --untrained; a run knows where its parts stand."
            raise ConfigError(message, "Leave out --backbone.")
        given = {} if target_python is None else {"python": target_python}

        def write(target: str, folder: Path | None, **more: Any) -> None:
            if untrained and folder is not None:
                _export_untrained(run, target, folder, labels, backbone, **given, **more)
            else:
                stage(current, "export", run, to=target, out=folder, **given, **more)

        if wanted is None:
            write(to, out)
            done(current, "export", run, out or run / "export" / to)
        else:
            publishing.publish(current, wanted, run, out or run / "export" / to, write)


def _export_untrained(
    run: Path,
    to: str,
    out: Path,
    labels: int | None,
    backbone: str | None,
    **options: Path | None,
) -> None:
    """Export the architecture of a run, or of a file, with fresh weights."""
    from peftsearch.stages import export_untrained

    path = run / "architecture.json" if run.is_dir() else run
    export_untrained(path, to, out, labels, **options, description=backbone)


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
        stage(current, "report", run, **({} if formats is None else {"formats": wanted}))
        first = next(name for name in FORMATS if name in wanted)
        file = f"report.{first}" if first in ("html", "md", "json") else ""
        done(current, "report", run, run / "report" / file)
