"""One run in a process of its own: started, told to stop, and asked why it ended.

Place in the flow: folder -> **child** -> crew.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from peftsearch import config as configuration
from peftsearch.config.layers import OTHER_VARIABLES
from peftsearch.errors import paste
from peftsearch.rundir import write_json
from peftsearch.sweep.folder import (
    DONE,
    STOPPED,
    UNFINISHED,
    Claim,
    Record,
    SweepFolder,
    in_use,
    without_settings,
)
from peftsearch.sweep.spec import Point

#: What a run is started with: this package, in this interpreter.
PROGRAM = (sys.executable, "-m", "peftsearch")
_ERROR = "Error: "
#: How much of a log is read for the reason.
_TAIL = 20_000


@dataclass
class Child:
    """A run that is being worked on.

    Attributes:
        point: Which.
        folder: Of the sweep.
        claim: Kept until it has ended.
        process: Its process.
        room: The environment that it was given, and that is free for another run afterwards.
        began: When it was started, in seconds of the monotonic clock.
    """

    point: Point
    folder: SweepFolder
    claim: Claim
    process: subprocess.Popen[bytes]
    room: dict[str, str]
    began: float = field(default_factory=time.monotonic)

    def stop(self, signal_number: int) -> None:
        """Ask it to save and end."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)

    def ended(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None

    def close(self) -> Record | None:
        """Record how it ended, and let others work on the run.

        Returns:
            The record; ``None`` if it only found that another process works on the run: one that
            outlived the sweep that started it, and had not yet locked the run directory.
        """
        try:
            code, reason = self._ending()
            if code not in (0, *STOPPED) and in_use(self.folder.run_dir(self.point)):
                return None
            seconds = time.monotonic() - self.began
            return self.folder.note(self.point, code, reason, seconds)
        finally:
            self.claim.release()

    def _ending(self) -> tuple[int, str]:
        """Return the exit code, as a shell has it, and the reason if it went wrong."""
        code = self.process.returncode
        if self.folder.status(self.point) == DONE:
            return 0, ""
        if code == 0:
            return 1, "It ended well and left no result."
        return code if code > 0 else 128 - code, _reason(code, self.folder.file("logs", self.point))


def start(
    folder: SweepFolder,
    point: Point,
    claim: Claim,
    room: dict[str, str],
    program: Sequence[str] = PROGRAM,
) -> Child:
    """Start a run, or go on with it, in a process of its own session.

    Of its own session, because a signal of the terminal reaches all processes of one: the run
    would take it and the one that is passed on for two, and the second ends it without saving.

    Args:
        folder: Of the sweep.
        point: Which run.
        claim: The right to work on it.
        room: Environment variables.
        program: What is called with ``run`` and its options.
    """
    run, place = folder.run_dir(point), folder.file("points", point)
    if folder.status(point) == UNFINISHED:
        words = ["--resume", str(run)]
    else:
        folder.make_room(point)
        # The whole configuration: the environment of a later start must not change it.
        write_json(place, configuration.to_mapping(point.config))
        words = ["--config", str(place), "--out", str(run)]
    command = [*program, "run", *words]
    log = folder.file("logs", point)
    with log.open("ab") as output:
        output.write(f"$ {paste(*command)}\n".encode())
        output.flush()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=without_settings(room, OTHER_VARIABLES),
            start_new_session=True,
        )
    return Child(point, folder, claim, process, room)


def _reason(code: int, log: Path) -> str:
    """Return why a run failed, in one line."""
    number = -code if code < 0 else code - 128
    if code < 0 or number in (signal.SIGKILL, signal.SIGSEGV):
        name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
        more = ": often the system, for want of memory" if number == signal.SIGKILL else ""
        return f"It was ended by {name}{more}."
    with log.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - _TAIL))
        lines = file.read().decode("utf-8", "replace").splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("$ ")]
    said = [line.strip() for line in lines[starts[-1] + 1 if starts else 0 :] if line.strip()]
    errors = [line.removeprefix(_ERROR) for line in said if line.startswith(_ERROR)]
    return (errors or said or ["It said nothing."])[-1]
