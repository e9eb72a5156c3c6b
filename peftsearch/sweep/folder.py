"""The folder of a sweep: who may work on which run, and how far each of them is.

Place in the flow: points -> **folder** -> crew. Everything is read from files that each belong to
one run, so that several machines can work on one folder without asking each other::

    DIR/
    ├── sweep.json            what the sweep has come to; written at the end and on a stop
    ├── runs/<name>/          run directories
    ├── points/<name>.json    what each was started with: a file for --config
    ├── logs/<name>.log       what each has said
    ├── records/<name>.json   how its last process ended
    ├── claims/<name>.lock    held by the sweep that works on it
    └── report/               of ``peftsearch compare``
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from peftsearch.errors import ConfigError, PeftSearchError
from peftsearch.rundir import Manifest, read_json, write_json
from peftsearch.rundir.directory import HOLDER, LOCK
from peftsearch.sweep.spec import Point

FORMAT = 1
RESULT = "sweep.json"
DONE, FAILED, UNFINISHED, PENDING = "done", "failed", "unfinished", "pending"
#: Exit codes of a run that somebody stopped: it goes on when it is started again.
STOPPED = (130, 143)
_PARTS = ("runs", "points", "logs", "records", "claims")


@dataclass(frozen=True)
class Record:
    """How the last process of a run ended.

    Attributes:
        exit_code: Of the process; 128 + N if signal N ended it.
        reason: What it said last, if it went wrong.
        seconds: From the start of the process to its end, over all attempts.
        attempts: How many processes there were.
        host: Where the last one ran.
    """

    exit_code: int
    reason: str
    seconds: float
    attempts: int
    host: str = ""

    @property
    def failed(self) -> bool:
        """Whether it went wrong, and was not just stopped."""
        return self.exit_code not in (0, *STOPPED)


class Claim:
    """The right to work on a run; the operating system takes it from a process that dies."""

    def __init__(self, lock: FileLock) -> None:
        self._lock = lock

    def release(self) -> None:
        """Let others work on it."""
        self._lock.release()


class SweepFolder:
    """A folder of a sweep, made or opened by :meth:`open`.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._done: set[str] = set()

    @classmethod
    def open(cls, path: Path, name: str) -> SweepFolder:
        """Make a folder, or go on with that of an earlier sweep of this name.

        Raises:
            ConfigError: It holds something else.
        """
        if path.exists() and not path.is_dir():
            raise ConfigError(f"{path} is a file, not a folder.", "Choose another with --out DIR.")
        folder = cls(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            folder._refuse_strangers()
            with folder.alone():
                folder._require_name(name)
                for part in _PARTS:
                    (path / part).mkdir(exist_ok=True)
        except OSError as error:
            reason = error.strerror or error
            raise ConfigError(f"{path} cannot be written to: {reason}.", "Use --out DIR.") from None
        return folder

    def _refuse_strangers(self) -> None:
        if (self.path / RESULT).is_file():
            return
        strange = [p.name for p in self.path.iterdir() if not p.name.startswith((LOCK, ".tmp-"))]
        if strange and not (self.path / RESULT).is_file():
            message = f"{self.path} is not the folder of a sweep: it holds {min(strange)}."
            raise ConfigError(message, "Choose another with --out DIR.")

    def _require_name(self, name: str) -> None:
        place = self.path / RESULT
        if not place.is_file():
            write_json(place, {"format": FORMAT, "name": name, "runs": []})
            return
        known = read_json(place)
        if not isinstance(known, dict) or known.get("format") != FORMAT:
            message = f"{place} is of another format; this version reads {FORMAT}."
            raise ConfigError(message, "Choose another folder with --out DIR.")
        if known.get("name") != name:
            message = f'{self.path} holds the sweep "{known.get("name")}", not "{name}".'
            raise ConfigError(message, "Choose another with --out DIR.")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other sweeps from writing what belongs to no single run."""
        with FileLock(self.path / LOCK):
            yield

    def settled(self, points: Sequence[Point]) -> list[Point]:
        """Return the points under the names that their folders already have.

        A folder is found by the digest of its configuration: a change of the file that gives a
        run another label does not train it again.
        """
        known = {path.name.rpartition("-")[2]: path.name for path in self.path.glob("runs/*-*")}
        return [replace(p, name=known.get(p.digest, p.name)) for p in points]

    def strangers(self, points: Sequence[Point]) -> list[str]:
        """Return the names of runs that no point stands for."""
        names = {point.name for point in points}
        return sorted(p.name for p in self.path.glob("runs/*") if p.name not in names)

    def run_dir(self, point: Point) -> Path:
        """Return the run directory of a point."""
        return self.path / "runs" / point.name

    def file(self, part: str, point: Point) -> Path:
        """Return the file of a point in ``points``, ``logs``, ``records`` or ``claims``."""
        endings = {"points": ".json", "logs": ".log", "records": ".json", "claims": ".lock"}
        return self.path / part / f"{point.name}{endings[part]}"

    def status(self, point: Point) -> str:
        """Return how far a run is: done, failed, unfinished or pending."""
        if point.name in self._done:
            return DONE
        run = self.run_dir(point)
        if _finished(run):
            self._done.add(point.name)  # for good: what is done stays done
            return DONE
        record = self.record(point)
        if record is not None and record.failed:
            return FAILED
        return UNFINISHED if (run / "config.yaml").is_file() else PENDING

    def record(self, point: Point) -> Record | None:
        """Return how the last process of a run ended; ``None`` if none has."""
        path = self.file("records", point)
        if not path.is_file():
            return None
        data: Mapping[str, Any] = read_json(path)
        return Record(**{key: data[key] for key in Record.__dataclass_fields__ if key in data})

    def note(self, point: Point, exit_code: int, reason: str, seconds: float) -> Record:
        """Record how a process of a run ended, and return it."""
        before = self.record(point) or Record(0, "", 0.0, 0)
        record = Record(
            exit_code,
            reason,
            round(before.seconds + seconds, 3),
            before.attempts + 1,
            socket.gethostname(),
        )
        write_json(self.file("records", point), {"format": FORMAT, **vars(record)})
        return record

    def forgive(self, points: Sequence[Point]) -> None:
        """Let failed runs be tried again; the seconds that they have taken still count."""
        with self.alone():
            for point in points:
                record = self.record(point)
                if record is not None and record.failed:
                    kept = vars(replace(record, exit_code=STOPPED[1]))
                    write_json(self.file("records", point), {"format": FORMAT, **kept})

    def claim(self, point: Point) -> Claim | None:
        """Take the right to work on a run; ``None`` if another process works on it.

        That may be another sweep, or a run that outlived the sweep that started it.
        """
        lock = _taken(self.file("claims", point))
        if lock is None:
            return None
        if in_use(self.run_dir(point)):
            lock.release()
            return None
        return Claim(lock)

    def make_room(self, point: Point) -> None:
        """Clear away what a process left that was killed before it had written a configuration.

        Call it with the claim.
        """
        run = self.run_dir(point)
        if run.is_dir() and not (run / "config.yaml").exists():
            for path in run.glob(".tmp-*"):
                path.unlink()


def _finished(run: Path) -> bool:
    if not (run / "summary.json").is_file():
        return False
    try:
        return Manifest(run / "manifest.json").is_done("report")
    except PeftSearchError:
        return False


def in_use(run: Path) -> bool:
    """Whether a process writes to a run directory."""
    if not (run / HOLDER).exists() and not (run / LOCK).exists():
        return False
    lock = _taken(run / LOCK)
    if lock is None:
        return True
    lock.release()
    return False


def _taken(path: Path) -> FileLock | None:
    lock = FileLock(path)
    with suppress(Timeout):
        lock.acquire(timeout=0)
        return lock
    return None


def without_settings(environ: Mapping[str, str], kept: Sequence[str]) -> dict[str, str]:
    """Return an environment without configuration: what a run is given is in its file.

    Args:
        environ: Environment variables.
        kept: Those with the prefix that are no keys.
    """
    return {
        key: value
        for key, value in environ.items()
        if not key.startswith("PEFTSEARCH_") or key in kept
    }
