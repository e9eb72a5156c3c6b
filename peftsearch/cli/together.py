"""A command in several processes: starting them, or being one of them."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import typer

from peftsearch import ranks
from peftsearch.cli.session import Session, resume_command
from peftsearch.config import RunConfig
from peftsearch.errors import ConfigError


def take_place(current: Session) -> None:
    """Learn which process of a run this is; only the leading one speaks."""
    ranks.join(current.environ)
    if ranks.size() > 1:
        from peftsearch.devices.launch import end_with_parent

        end_with_parent()
    current.console.muted = not ranks.leads()


def agreed(wanted: int, given: object) -> int:
    """Return on how many devices a run goes: what a launcher started, else what is wanted.

    Args:
        wanted: Of the configuration.
        given: What was typed, if anything.

    Raises:
        ConfigError: A launcher started another number than was typed.
    """
    if ranks.size() == 1:
        return wanted
    if given not in (None, ranks.size()):
        message = f"--devices {given} was asked for, and {ranks.size()} processes were started."
        raise ConfigError(message, "Leave out --devices, or the launcher.")
    return ranks.size()


def check_devices(settings: RunConfig) -> None:
    """Refuse more devices than there are.

    Raises:
        ConfigError: The device cannot be had several times.
        MissingError: There are not so many.
    """
    if settings.devices > 1 and ranks.size() == 1:
        from peftsearch.devices.launch import check_devices

        check_devices(settings)


def run_together(current: Session, count: int, words: list[str], run: Path) -> None:
    """Do a command in several processes, and end as they do.

    Args:
        current: The command.
        count: How many processes.
        words: What follows ``peftsearch``.
        run: The run directory.

    Raises:
        typer.Exit: They did not end well; carries the exit code.
    """
    from peftsearch.devices.launch import launch

    ended = launch(count, words)
    if ended.killed is not None:
        name = signal.Signals(ended.signal_number).name
        current.console.error(f"Process {ended.killed + 1} of {count} was killed by {name}.")
        if ended.killed == 0 and (run / "config.yaml").is_file():
            message = "The run is saved as of its last checkpoint"
            current.console.stopped(message, resume_command(run))
    if ended.code:
        raise typer.Exit(ended.code)


def on_devices(current: Session, count: int, run: Path, *more: str) -> bool:
    """Run this very command on several devices, unless this is one of its processes already.

    Returns:
        Whether that was done.
    """
    if count == 1 or ranks.size() > 1:
        return False
    run_together(current, count, [*sys.argv[1:], *more], run)
    return True
