"""Creating, opening and locking a run directory."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from peftsearch import config as configuration
from peftsearch import ranks
from peftsearch.config import RunConfig
from peftsearch.errors import ConfigError, paste
from peftsearch.rundir import files
from peftsearch.rundir.manifest import Manifest

LOCK = ".lock"
HOLDER = ".lock-holder.json"


def default_name(config: RunConfig, when: datetime | None = None) -> str:
    """Return a name such as ``2026-01-31T140211_t5-base_rte_1pct_s0``, safe on every system."""
    moment = (when or datetime.now(timezone.utc)).strftime("%Y-%m-%dT%H%M%S")
    budget = config.budget.replace("%", "pct")
    parts = [_last_name(config.model), _last_name(config.task), budget, f"s{config.seed}"]
    return "_".join([moment, *map(_safe, parts)])


def _last_name(text: str) -> str:
    """Return ``t5-small`` of ``google/t5-small`` and ``mine`` of ``tasks/mine.yaml``."""
    name = text.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return re.sub(r"\.ya?ml$", "", name)


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip("-.")[:40] or "x"


class RunDir:
    """A run directory, locked against other writers until :meth:`close`.

    Use :meth:`create` or :meth:`open_existing`. It is a context manager.

    Attributes:
        path: The directory.
    """

    def __init__(self, path: Path, *, lock: bool = True) -> None:
        self.path = path
        self._lock: FileLock | None = None
        if lock:
            self._acquire()

    @classmethod
    def create(cls, config: RunConfig, out: Path | None = None) -> RunDir:
        """Make a new run directory and write ``config.yaml`` into it, before any work.

        Args:
            config: The resolved configuration.
            out: The directory; absent: ``config.out``, else a dated one under ``runs/``.

        Raises:
            ConfigError: The directory is not empty, cannot be made, or is in use.
        """
        path = claim(config, out)
        run = cls(path)
        try:
            require_empty(path)  # Again: another process may have come first.
            files.write_text(path / "config.yaml", configuration.dump(config))
        except BaseException:
            run.close()
            raise
        return run

    @classmethod
    def open_existing(cls, path: Path, *, lock: bool = True) -> RunDir:
        """Open the directory of an earlier run.

        Args:
            path: The directory.
            lock: Whether to keep other writers out; not needed for reading.

        Raises:
            ConfigError: Not a run directory, of another format, or in use.
        """
        if not path.is_dir():
            message = f"{path} is not a run directory: it does not exist."
            raise ConfigError(message, "Start one with: peftsearch run")
        if not (path / "config.yaml").is_file():
            message = f"{path} is not a run directory: it has no config.yaml."
            raise ConfigError(message, "Give the folder that `peftsearch run` printed.")
        run = cls(path, lock=lock)
        try:
            if (path / "manifest.json").exists():
                run.manifest()
        except BaseException:
            run.close()
            raise
        return run

    @classmethod
    def shared(cls, opened: Callable[[], RunDir]) -> RunDir:
        """Let the leading process open a directory, and the others read and write along.

        Args:
            opened: Creates or opens it; called in the leading process.

        Raises:
            ConfigError: What that raises, in every process.
        """
        run = ranks.led(opened)
        path = ranks.told(run.path if run is not None else Path())
        return run or cls(path, lock=False)

    def config(self) -> RunConfig:
        """Read ``config.yaml``."""
        return configuration.load(self.path / "config.yaml")

    def manifest(self) -> Manifest:
        """Read ``manifest.json``, or begin one."""
        return Manifest(self.path / "manifest.json")

    def file(self, *parts: str) -> Path:
        """Return the path of a file of the run."""
        return self.path.joinpath(*parts)

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file of the run, e.g. ``race/gates.json``."""
        files.write_json(self.path / name, content)

    def read_json(self, name: str) -> Any:
        """Read a JSON file of the run."""
        return files.read_json(self.path / name)

    def discard(self) -> None:
        """Remove the directory: it was made for a run that could not begin."""
        if not ranks.leads():
            return
        shutil.rmtree(self.path, ignore_errors=True)

    def close(self) -> None:
        """Let other writers in."""
        if self._lock is not None:
            with suppress(OSError):
                (self.path / HOLDER).unlink()
            # The lock file stays: unlinking it here could pull it from under the next holder.
            self._lock.release()
            self._lock = None

    def __enter__(self) -> RunDir:
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Let other writers in."""
        self.close()

    def _acquire(self) -> None:
        """Take the lock of the operating system, which a dead process loses by itself."""
        lock = FileLock(self.path / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            message = f"{self.path} is in use by {_holder(self.path)}."
            hint = "Wait for it, stop it, or start another run with --out DIR."
            raise ConfigError(message, hint) from None
        except OSError as error:
            message = f"{self.path} cannot be written to: {error.strerror or error}."
            raise ConfigError(message) from error
        self._lock = lock
        holder = {"pid": os.getpid(), "host": socket.gethostname()}
        files.write_json(self.path / HOLDER, holder)


def _holder(path: Path) -> str:
    try:
        data = json.loads((path / HOLDER).read_text(encoding="utf-8"))
        return f"process {data['pid']} on {data['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def claim(config: RunConfig, out: Path | None = None) -> Path:
    """Choose the directory of a new run and make it, so that no other run chooses it too.

    Args:
        config: The resolved configuration.
        out: The directory; absent: ``config.out``, else a dated one under ``runs/``.

    Returns:
        The path of a directory that is there and empty.

    Raises:
        ConfigError: The directory is not empty, or cannot be made.
    """
    wanted = out or (Path(config.out) if config.out else None)
    first = wanted or Path("runs") / default_name(config)
    path, number = first, 1
    while True:
        if wanted:
            require_empty(path)
        try:
            path.mkdir(parents=True, exist_ok=wanted is not None)
            return path
        except FileExistsError:  # Two runs that begin in the same second.
            number += 1
            path = first.with_name(f"{first.name}-{number}")
        except OSError as error:
            reason = error.strerror or error
            raise ConfigError(f"{path} cannot be created: {reason}.", "Use --out DIR.") from error


def require_empty(path: Path) -> None:
    """Refuse a directory in which something lies, naming both ways out.

    Raises:
        ConfigError: The path is a file, or a directory that is not empty.
    """
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{path} is a file, not a folder.", "Choose another with --out DIR.")
    if not path.exists() or all(entry.name in (LOCK, HOLDER) for entry in path.iterdir()):
        return
    raise ConfigError(
        f"{path} is not empty.",
        f"Continue the run in it with: {paste('peftsearch', 'run', '--resume', path)}  "
        "or write elsewhere with: --out ANOTHER_DIR",
    )
