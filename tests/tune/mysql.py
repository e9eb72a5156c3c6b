"""A MySQL server (MariaDB, Debian's) of the test run's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

_NAMES = count()


@dataclass(frozen=True)
class MySQL:
    """A server in a temporary folder, reached over TCP with a password.

    Attributes:
        port: Where it listens.
        password: Of the user ``peft``.
        socket: Where root is let in without one.
    """

    port: int
    password: str
    socket: Path

    def database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"study{next(_NAMES)}"
        self.say(f"create database {name}")
        return f"mysql://peft:{self.password}@127.0.0.1:{self.port}/{name}"

    def say(self, statement: str) -> None:
        """Run a statement as root."""
        import pymysql

        user = {"user": "root", "unix_socket": str(self.socket)}
        with pymysql.connect(**user) as connection, connection.cursor() as cursor:
            cursor.execute(statement)


def programs() -> tuple[str, str] | None:
    """Return what makes a data folder and the server; ``None`` where they are not installed."""
    where = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
    found = [shutil.which(name, path=where) for name in ("mariadb-install-db", "mariadbd")]
    return (found[0], found[1]) if found[0] and found[1] else None


@contextmanager
def serving(port: int, password: str) -> Iterator[MySQL]:
    """Run a server until the end of the block."""
    found = programs()
    assert found is not None
    install, serve = found
    folder = Path(tempfile.mkdtemp(prefix="peftsearch-mysql-"))
    user = ["--user=root"] if os.getuid() == 0 else []
    data, socket = folder / "data", folder / "socket"
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    options = ["--no-defaults", *user, f"--datadir={data}"]
    subprocess.run(
        [install, *options, "--auth-root-authentication-method=normal"],
        check=True, timeout=120, **quiet,
    )  # fmt: skip
    process = subprocess.Popen(
        [serve, *options, f"--port={port}", "--bind-address=127.0.0.1", "--skip-name-resolve",
         f"--socket={socket}", f"--pid-file={folder / 'pid'}",
         "--innodb-flush-log-at-trx-commit=0"],
        **quiet,
    )  # fmt: skip
    server = MySQL(port, password, socket)
    try:
        _wait(process, socket)
        server.say(f"create user peft@'%' identified by '{password}'")
        server.say("grant all on *.* to peft@'%'")
        yield server
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], socket: Path) -> None:
    until = time.monotonic() + 60
    while not socket.exists():
        assert process.poll() is None, "MariaDB did not start"
        assert time.monotonic() < until, "MariaDB does not answer"
        time.sleep(0.1)
