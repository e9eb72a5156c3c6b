"""Database servers of the test run's own, and an empty storage of each kind."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from tests.tune.mysql import MySQL, programs, serving

PASSWORD = "tr0ub4dor"
_NAMES = count()


@dataclass(frozen=True)
class Server:
    """A server on a free port, in a temporary folder."""

    programs: Path
    folder: Path
    port: int
    user: str | None

    def url(self, name: str) -> str:
        return f"postgresql://peft:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    def call(self, *words: str) -> None:
        """Run one of the server's programs, as a user that it accepts."""
        first = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups"]
        log = self.folder / "calls.log"
        with log.open("ab") as output:  # not a pipe: the server would keep it open
            subprocess.run(
                [*(first if self.user else []), str(self.programs / words[0]), *words[1:]],
                check=True, stdout=output, stderr=output, timeout=120, cwd=self.folder,
                env={**os.environ, "LC_ALL": "C", "PGPASSWORD": PASSWORD},
            )  # fmt: skip

    def control(self, *words: str) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off"
        options += f" -c unix_socket_directories={self.folder}"
        log = self.folder / "server.log"
        self.call("pg_ctl", "-w", "-D", str(self.folder / "data"), "-o", options, "-l", str(log),
                  *words)  # fmt: skip

    def restart(self) -> None:
        """End every connection and start again, as an update of the server does."""
        self.control("-m", "fast", "restart")

    def database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"study{next(_NAMES)}"
        place = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "peft"]
        self.call("createdb", *place, name)
        return self.url(name)


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    program = shutil.which("initdb") or (str(found[-1]) if found else None)
    return Path(program).resolve().parent if program else None


def _other_user() -> str | None:
    """Return a user that may run the server: it refuses to run as root."""
    if os.getuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return "nobody"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server, or skip."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    pytest.importorskip("psycopg", reason="psycopg is not installed: peftsearch[postgres]")
    port = _free_port()
    user = _other_user()
    folder = Path(tempfile.mkdtemp(prefix="peftsearch-postgres-"))
    server = Server(programs, folder, port, user)
    if user:
        shutil.chown(folder, user)
    secret = folder / "secret"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    try:
        server.call("initdb", "--no-sync", "-E", "UTF8", "-D", str(folder / "data"), "-U", "peft",
                    "-A", "scram-sha-256", "--pwfile", str(secret))  # fmt: skip
        server.control("start")
        yield server
        server.control("-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def mysql() -> Iterator[MySQL]:
    """A MariaDB server, or skip."""
    if programs() is None:
        pytest.skip("MariaDB is not installed (Debian: apt-get install mariadb-server)")
    pytest.importorskip("pymysql", reason="PyMySQL is not installed: peftsearch[mysql]")
    with serving(_free_port(), PASSWORD) as server:
        yield server


@pytest.fixture(params=["sqlite", "journal", "postgres", "mysql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty storage of each kind."""
    if request.param in ("postgres", "mysql"):
        server: Server | MySQL = request.getfixturevalue(request.param)
        return server.database()
    names = {"sqlite": f"sqlite:///{tmp_path / 's.db'}", "journal": f"{tmp_path / 's.journal'}"}
    return names[request.param]
