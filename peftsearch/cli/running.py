"""``run`` and ``plan``: the whole path, and what it would do."""

from __future__ import annotations

import shlex
import sys
from contextlib import suppress
from pathlib import Path

from peftsearch.cli.given import Given, with_options
from peftsearch.cli.rendering import plan_lines, summary_lines
from peftsearch.cli.session import Session, session
from peftsearch.config import RunConfig
from peftsearch.progress import Progress
from peftsearch.rundir import claim, require_empty


@with_options
def run(given: Given) -> None:
    """Search, retrain, compare, export and report.

    Reads a backbone and a task. Writes a run directory. Without options it runs the built-in
    default, which needs no network.
    """
    with session(quiet=given.quiet, as_json=given.as_json, debug=given.debug) as current:
        settings = given.resolve(current.environ)
        current.run_dir = given.resume if given.resume is not None else claim(settings)
        try:
            _run(current, settings, given.resume)
        finally:
            # Nothing is written before the configuration has been checked.
            with suppress(OSError):
                current.run_dir.rmdir()
            if not current.run_dir.exists():
                current.run_dir = None  # nothing to resume


def _run(current: Session, settings: RunConfig, resume: Path | None) -> None:
    current.console.note(f"Run directory: {current.run_dir}")
    from peftsearch import pipeline

    with Progress(current.console) as progress:
        done = pipeline.run(
            settings,
            out=None if resume is not None else current.run_dir,
            resume=resume,
            command=["peftsearch", *sys.argv[1:]],
            listener=progress,
        )
    current.console.result(
        summary_lines(done.run_dir, done.summary),
        brief=str(done.run_dir),
        data={"run_dir": str(done.run_dir), **done.summary},
    )


@with_options
def plan(given: Given) -> None:
    """Show what run would do, and at what cost.

    Trains nothing and downloads no weights. Reads the backbone's configuration and
    the task. Writes nothing. With --quiet it prints the budget in parameters.
    """
    with session(quiet=given.quiet, as_json=given.as_json, debug=given.debug) as current:
        settings = given.resolve(current.environ)
        if given.resume is None and settings.out:
            require_empty(Path(settings.out))
        from peftsearch import pipeline

        found = pipeline.plan(settings)
        words = [w for w in sys.argv[2:] if w not in ("--json", "--quiet", "--debug")]
        command = shlex.join(["peftsearch", "run", *words])
        brief = str(found["budget"]["limit"])
        current.console.result(plan_lines(found, settings, command), brief=brief, data=found)
