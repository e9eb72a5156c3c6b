"""Where a worker runs, so that its own machine can tell at once that it is dead."""

from __future__ import annotations

import os
import socket
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def machine() -> str:
    """Return a name under which process numbers mean the same processes."""
    parts = [socket.gethostname()]
    with suppress(OSError):  # not Linux: the name alone
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return "/".join(parts)


def started(pid: int) -> str | None:
    """Return when a process of this machine began, ``""`` where that is not told.

    Returns:
        ``None`` for a process that is not there, or has ended and waits to be collected.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            pass
        return ""
    rest = text.rpartition(")")[2].split()  # the name in brackets may hold anything
    return None if rest[0] in "ZX" else rest[19]


@dataclass(frozen=True)
class Place:
    """Who a worker is.

    Attributes:
        worker: A name that no other worker has.
        host: See :func:`machine`.
        pid: Its process.
        began: When that began, since a number is used again.
    """

    worker: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    host: str = field(default_factory=machine)
    pid: int = field(default_factory=os.getpid)
    began: str = field(default_factory=lambda: started(os.getpid()) or "")

    def to_json(self) -> dict[str, Any]:
        """Return it as it stands in a lease."""
        return {"worker": self.worker, "host": self.host, "pid": self.pid, "began": self.began}

    def knows_dead(self, lease: dict[str, Any]) -> bool:
        """Whether the holder of a lease ran on this machine and is surely gone."""
        if lease["host"] != self.host:
            return False
        return started(int(lease["pid"])) != str(lease["began"])
