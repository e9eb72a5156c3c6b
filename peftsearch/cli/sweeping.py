"""``sweep``: many runs from one file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from peftsearch.cli import options as o
from peftsearch.cli.session import Session, session
from peftsearch.cli.sweep_lines import forecast_lines, result_lines
from peftsearch.errors import PeftSearchError, StoppedError, paste
from peftsearch.sweep.folder import DONE, FAILED, SweepFolder
from peftsearch.sweep.spec import Point, Sweep, read_sweep

File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE.yaml",
        help="What is the same for all runs, and a matrix of what is not.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    o.option(
        "--out",
        panel=o.OUTPUT,
        metavar="DIR",
        text="Folder of the sweep, new or to go on with. Default: runs/sweep-<name>.",
    ),
]
Jobs = Annotated[
    int,
    o.option("--jobs", min=1, panel=o.HARDWARE, text="Runs at once on this machine. Default 1."),
]
DryRun = Annotated[
    bool, o.option("--dry-run", text="Start nothing; show every run and what it would cost.")
]
RetryFailed = Annotated[
    bool, o.option("--retry-failed", text="Try runs again that failed. Default: leave them.")
]


def sweep(
    file: File,
    out: Out = None,
    jobs: Jobs = 1,
    dry_run: DryRun = False,
    retry_failed: RetryFailed = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Make a matrix of runs, and one report over them.

    Each run is a process of its own. Finished ones are skipped and unfinished ones resumed, so
    the same command goes on after a stop, works on one folder from several machines, and trains
    what is new after a change of the file. A run that fails stops no other; the exit code is
    then that of the first one.
    """
    with session(quiet=quiet, as_json=as_json, debug=debug) as current:
        wanted = read_sweep(file, current.environ)
        place = out if out is not None else Path("runs") / f"sweep-{wanted.name}"
        if dry_run:
            _forecast(current, wanted, place)
            return
        folder = SweepFolder.open(place, wanted.name)
        points = folder.settled(wanted.points)
        words = [w for w in sys.argv[1:] if w != "--retry-failed"]
        current.again = paste("peftsearch", *words)
        if retry_failed:
            folder.forgive(points)
        _begin(current, folder, points)
        _work(current, wanted, folder, points, jobs)


def _begin(current: Session, folder: SweepFolder, points: list[Point]) -> None:
    """Say what is there already, and what no longer belongs to the file."""
    current.console.note(f"Sweep of {len(points):,} runs in {folder.path}")
    statuses = [folder.status(point) for point in points]
    for status, text in ((DONE, "done"), (FAILED, "failed before; --retry-failed tries again")):
        if status in statuses:
            current.console.note(f"{statuses.count(status):,} already {text}")
    strangers = folder.strangers(points)
    if strangers:
        names = ", ".join(strangers[:5]) + (", ..." if len(strangers) > 5 else "")
        current.console.warn(
            f"{len(strangers)} in {folder.path / 'runs'} no longer in the file, left as they are: "
            f"{names}"
        )


def _work(
    current: Session, wanted: Sweep, folder: SweepFolder, points: list[Point], jobs: int
) -> None:
    from peftsearch.sweep import outcome
    from peftsearch.sweep.crew import Crew

    crew = Crew(folder, points, jobs, current.environ, tell=current.console.note)
    try:
        crew.work()
    except StoppedError:
        outcome.write(folder, outcome.collect(wanted, folder, points), report=False)
        raise
    result = outcome.collect(wanted, folder, points)
    why = outcome.write(folder, result)
    if why:
        current.console.note(f"No report: {why}")
    brief = str(folder.path)
    data = {"sweep_dir": str(folder.path), **result}
    current.console.result(result_lines(folder.path, result), brief=brief, data=data)
    outcome.require_success(folder, result, f"{current.again} --retry-failed")
    outcome.require_finished(result)


def _forecast(current: Session, wanted: Sweep, place: Path) -> None:
    from peftsearch.sweep.forecast import forecast

    folder = SweepFolder(place) if place.is_dir() else None
    points = wanted.points if folder is None else tuple(folder.settled(wanted.points))
    rows = forecast(points, folder)
    data: dict[str, Any] = {"name": wanted.name, "sweep_dir": str(place), "runs": rows}
    command = paste("peftsearch", *(w for w in sys.argv[1:] if w != "--dry-run"))
    brief = str(len(rows))
    current.console.result(forecast_lines(wanted, rows, command), brief=brief, data=data)
    wrong = [row for row in rows if "problem" in row]
    if wrong:
        error = PeftSearchError(f"{wrong[0]['name']}: {wrong[0]['problem']}")
        error.exit_code = wrong[0]["exit_code"]
        raise error
