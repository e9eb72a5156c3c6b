"""What surrounds every command: the console, and errors turned into a sentence and a code."""

from __future__ import annotations

import os
import shlex
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import typer

from peftsearch import ranks
from peftsearch.cli.failures import explain
from peftsearch.console import Console
from peftsearch.errors import LostError, PeftSearchError, StoppedError, paste
from peftsearch.rundir import write_text

LOG = "log.txt"
#: Seconds.
_LINGER = 1.0
#: Settings that keep the libraries below from drawing bars and logging into this package's
#: progress. They read them when they are imported; what the user has set stays.
_CALM = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "DATASETS_VERBOSITY": "error",
}


@dataclass
class Session:
    """One command while it runs.

    Attributes:
        console: Where it writes.
        environ: Environment variables.
        run_dir: The run directory, once known; named in messages.
        again: The command that goes on after an interruption, where it is not that of a run.
    """

    console: Console
    environ: Mapping[str, str]
    run_dir: Path | None = None
    again: str = ""


def resume_command(run_dir: Path) -> str:
    """Return the command that continues a run."""
    return paste("peftsearch", "run", "--resume", run_dir)


@contextmanager
def session(
    *, quiet: bool = False, as_json: bool = False, debug: bool = False
) -> Iterator[Session]:
    """Run the body of a command; every error ends in a message and its exit code.

    Args:
        quiet: As for :class:`~peftsearch.console.Console`.
        as_json: As for :class:`~peftsearch.console.Console`.
        debug: Also print the traceback; ``PEFTSEARCH_DEBUG=1`` does the same.

    Raises:
        typer.Exit: Something went wrong; carries the exit code.
    """
    console = Console(quiet=quiet, as_json=as_json)
    current = Session(console, os.environ)
    debug = debug or os.environ.get("PEFTSEARCH_DEBUG", "") not in ("", "0")
    for name, value in _CALM.items():
        os.environ.setdefault(name, value)
    try:
        yield current
    except (typer.Exit, BrokenPipeError):
        raise
    except (StoppedError, LostError) as error:
        _stopped(current, error.message)
        _linger()
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        _stopped(current, "Stopped")
        raise typer.Exit(130) from None
    except Exception as error:
        if debug:
            console.traceback(traceback.format_exc())
        known = error if isinstance(error, PeftSearchError) else explain(error)
        if not ranks.leads() and known is not error:  # it has met this alone, so it says so
            console.muted = False
            console.note(f"Process {ranks.rank() + 1} of this run:")
        if known is None:
            raise typer.Exit(_unexpected(current, error, debug)) from None
        console.error(known.message, known.hint)
        _linger()
        raise typer.Exit(known.exit_code) from None


def _linger() -> None:
    """Let the leading process of a run finish its words: a launcher kills when one has ended."""
    if not ranks.leads():
        time.sleep(_LINGER)


def _stopped(current: Session, message: str) -> None:
    if current.again or current.run_dir is not None:
        command = current.again or resume_command(current.run_dir or Path())
        current.console.stopped(message, command)
    else:
        current.console.error(message)


def _unexpected(current: Session, error: Exception, debug: bool) -> int:
    """Report a bug and return its exit code."""
    reason = " ".join(str(error).split()) or "no message"
    log = _write_log(current)
    if log is not None:
        hint = f"The traceback is in {log}. Please report it with the output of: peftsearch env"
    elif debug:
        hint = "Please report it with the output of: peftsearch env"
    else:
        hint = "Run it again with --debug to see where, and report it with: peftsearch env"
    current.console.error(f"unexpected {type(error).__name__}: {reason}", hint)
    return 1


def _write_log(current: Session) -> Path | None:
    """Leave the traceback in the run directory, if there is one that can be written to."""
    if current.run_dir is None or not current.run_dir.is_dir():
        return None
    if not ranks.leads():
        return None
    path = current.run_dir / LOG
    with suppress(OSError):
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        command = shlex.join(sys.argv)
        with ranks.apart():
            write_text(path, f"{before}$ {command}\n{traceback.format_exc()}\n")
        return path
    return None
