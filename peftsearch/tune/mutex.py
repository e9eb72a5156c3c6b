"""One worker at a time: the lock under which trials are given out, on every kind of storage.

Optuna's storages let two workers take one waiting trial on SQLite, and none of them can put a
trial back only if nobody else has. Under one lock both are simple.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import sqlalchemy
from filelock import FileLock
from optuna.storages.journal import JournalFileSymlinkLock

#: Returns a context in which no other worker of the storage is in one.
Mutex = Callable[[], AbstractContextManager[None]]
#: Seconds after which the lock is taken from a worker whose machine has gone. A section takes a
#: fraction of one, but much longer on a machine that is overloaded.
_GONE = 120
_NAME = "peftsearch tune"
_KEY = 0x7065667473  # "pefts"


def of_file(path: Path) -> Mutex:
    """Return a lock of the operating system beside a local file; a dead process loses it."""

    @contextmanager
    def section() -> Iterator[None]:
        with FileLock(f"{path}.claims"):
            yield

    return section


def of_shared_file(path: Path) -> Mutex:
    """Return a lock that holds on network file systems; one left behind is taken after 120 s."""

    @contextmanager
    def section() -> Iterator[None]:
        lock = JournalFileSymlinkLock(f"{path}.claims", grace_period=_GONE)
        lock.acquire()
        try:
            yield
        finally:
            with suppress(RuntimeError):  # taken away after all
                lock.release()

    return section


def of_server(url: sqlalchemy.URL) -> Mutex:
    """Return a named lock of a PostgreSQL or MySQL server; a lost connection loses it."""
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    begin, end = _words(url.get_backend_name())

    @contextmanager
    def section() -> Iterator[None]:
        with engine.begin() as connection:
            for line in begin:
                connection.execute(sqlalchemy.text(line))
            try:
                yield
            finally:
                for line in end:
                    connection.execute(sqlalchemy.text(line))

    return section


def _words(backend: str) -> tuple[list[str], list[str]]:
    if backend == "postgresql":
        limit = f"SET LOCAL idle_in_transaction_session_timeout = {1000 * _GONE}"
        return [limit, f"SELECT pg_advisory_xact_lock({_KEY})"], []
    limit = f"SET SESSION wait_timeout = {_GONE}"
    return [limit, f"SELECT GET_LOCK('{_NAME}', 300)"], [f"SELECT RELEASE_LOCK('{_NAME}')"]
