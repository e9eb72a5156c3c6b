"""``run`` and ``plan``: the whole path, and what it would do."""

from __future__ import annotations

import shlex
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from peftsearch import ranks
from peftsearch.cli import options as o
from peftsearch.cli.given import Given, with_options
from peftsearch.cli.rendering import plan_lines, summary_lines
from peftsearch.cli.scaling import SCALE_OPTIONS, scale_lines, scale_of, scaled, without_scale
from peftsearch.cli.session import Session, session
from peftsearch.cli.stages import done, stage
from peftsearch.cli.together import agreed, check_devices, on_devices, take_place
from peftsearch.config import RunConfig
from peftsearch.errors import ConfigError, paste
from peftsearch.memory.fitting import device_bytes, fits
from peftsearch.progress import Progress
from peftsearch.rundir import claim, require_empty


@with_options
def run(given: Given) -> None:
    """Search, retrain, compare, export and report.

    Reads a backbone and a task. Writes a run directory. Without options it runs the built-in
    default, which needs no network.
    """
    _new_or_resumed(given)


def _new_or_resumed(given: Given) -> None:
    with session(quiet=given.quiet, as_json=given.as_json, debug=given.debug) as current:
        take_place(current)
        settings = given.resolve(current.environ)
        count = agreed(settings.devices, given.flags.get("devices"))
        settings = replace(settings, devices=count)
        check_devices(settings)
        claimed = None if given.resume else ranks.led(lambda: claim(settings))
        current.run_dir = given.resume or ranks.told(claimed)
        assert current.run_dir is not None
        more = () if given.resume else ("--out", str(current.run_dir))
        try:
            if not on_devices(current, count, current.run_dir, *more):
                _run(current, settings, given.resume)
        finally:
            # Nothing is written before the configuration has been checked.
            with suppress(OSError):
                if ranks.leads():
                    current.run_dir.rmdir()
            if not current.run_dir.exists():
                current.run_dir = None  # nothing to resume


def _run(current: Session, settings: RunConfig, resume: Path | None) -> None:
    current.console.note(f"Run directory: {current.run_dir}")
    from peftsearch import front

    with Progress(current.console) as progress:
        done = front.run(
            settings,
            out=None if resume is not None else current.run_dir,
            resume=resume,
            command=["peftsearch", *sys.argv[1:]],
            listener=progress,
        )
    if not ranks.leads():
        return
    current.console.result(
        summary_lines(done.run_dir, done.summary),
        brief=str(done.run_dir),
        data={"run_dir": str(done.run_dir), **done.summary},
    )


def _retrain(given: Given, run: Path) -> None:
    """Train a found architecture from scratch.

    Of a run: reads its architecture.json, writes its retrain/. Of an architecture.json: makes a
    run of its own without a search, on the task and model of the file or on others of the same
    shape, beside baselines.
    """
    if run.is_file():
        if given.resume is not None or "architecture" in given.flags:
            message = f"{run} is trained anew: --resume and --architecture do not go with it."
            raise typer.BadParameter(message)
        flags = {**given.flags, "architecture": str(run)}
        _new_or_resumed(replace(given, flags=flags))
        return
    with session(quiet=given.quiet, as_json=given.as_json, debug=given.debug) as current:
        if given.flags or given.config or given.override or given.resume:
            raise ConfigError(
                f"{run} is a run, which keeps its settings.",
                paste("peftsearch", "retrain", run / "architecture.json", *sys.argv[3:]),
            )
        stage(current, "retrain", run)
        done(current, "retrain", run, run / "retrain")


RunOrFile = Annotated[
    Path,
    typer.Argument(
        metavar="RUN|FILE",
        help="Directory of a run, or an architecture.json.",
        show_default=False,
    ),
]
retrain = with_options(_retrain, ("run", RunOrFile))


def _plan(given: Given, device_memory: str | None, **asked: Any) -> None:
    """Show what run would do, and at what cost.

    Trains nothing and downloads no weights. Reads the backbone's configuration and
    the task. Writes nothing. With --quiet it prints the budget in parameters.

    With --trials: what so many of them take on so many --devices, one trial on each at a time,
    from what earlier ones took (--measured), or from some steps that are timed now (--measure,
    which loads the model).
    """
    with session(quiet=given.quiet, as_json=given.as_json, debug=given.debug) as current:
        room = None if device_memory is None else device_bytes(device_memory)
        given, scale = scale_of(given, **asked)
        settings = given.resolve(current.environ)
        if given.resume is None and settings.out:
            require_empty(Path(settings.out))
        from peftsearch import front

        found = front.plan(settings)
        if room is not None:
            for one in found.values():
                one["memory_bytes"]["fits"] = _fits(one, room, settings)
        words = [w for w in sys.argv[2:] if w not in ("--json", "--quiet", "--debug")]
        if scale is not None:
            found = {b: {**one, "scale": scaled(scale, settings, one)} for b, one in found.items()}
        command = shlex.join(["peftsearch", "run", *_without_memory(without_scale(words))])
        again, lines = paste("peftsearch", "plan", *words), list[str]()
        for one in found.values():
            lines += plan_lines(one, settings, command)
            lines[-1:-1] = scale_lines(one.get("scale"), again)
        brief = "\n".join(str(one["budget"]["limit"]) for one in found.values())
        only = next(iter(found.values()))
        data = only if len(found) == 1 else {"format": 1, "budgets": found}
        current.console.result(lines, brief=brief, data=data)


def _fits(plan: dict[str, Any], room: int, settings: RunConfig) -> dict[str, Any]:
    batches = {"search": settings.search.batch_size, "retrain": settings.retrain.batch_size}
    return fits(plan["memory_bytes"], room, batches)


def _without_memory(words: list[str]) -> list[str]:
    """Leave out what only ``plan`` has: the option and its value, in one word or two."""
    found = [word for word in words if not word.startswith(_MEMORY + "=")]
    if _MEMORY in found:
        place = found.index(_MEMORY)
        del found[place : place + 2]
    return found


_MEMORY = "--device-memory"
DeviceMemory = Annotated[
    str | None,
    o.option(
        _MEMORY,
        panel=o.HARDWARE,
        metavar="SIZE",
        text="Say how many rows at once fit a device of this memory, e.g. 24GB.",
    ),
]
_plan.__name__ = "plan"
plan = with_options(_plan, more={"device_memory": (DeviceMemory, None), **SCALE_OPTIONS})
