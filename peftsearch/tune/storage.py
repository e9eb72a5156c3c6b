"""Opening a storage by URL: SQLite, a journal file, PostgreSQL or MySQL.

Place in the flow: ``--storage`` -> **storage** -> desk. A password is never shown: see
:func:`hidden`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from peftsearch.errors import ConfigError, MissingError
from peftsearch.tune.mutex import Mutex, of_file, of_server, of_shared_file
from peftsearch.tune.patience import is_outage

#: Drivers that are used, and the extra that brings them.
DRIVERS = {"postgresql": ("psycopg", "postgres"), "mysql": ("pymysql", "mysql")}
#: File systems on which the locks of SQLite cannot be relied on.
NETWORK = (
    "nfs nfs4 cifs smb3 smbfs smb2 afs ncpfs lustre beegfs gpfs ceph glusterfs fuse.sshfs "
    "fuse.glusterfs fuse.ceph fuse.s3fs fuse.gcsfuse fuse.rclone"
).split()
_JOURNAL = (".log", ".journal")
_FORMS = "sqlite:///FILE.db, journal:FILE.journal, postgresql://HOST/NAME, mysql://HOST/NAME"


@dataclass(frozen=True)
class Opened:
    """A storage that answers.

    Attributes:
        storage: Optuna's.
        mutex: One worker at a time.
        shown: Its URL, without a password.
    """

    storage: BaseStorage
    mutex: Mutex
    shown: str


def normal(url: str) -> str:
    """Return a URL in full: with the driver that is used, and with an absolute path.

    Raises:
        ConfigError: It is none of the four kinds.
    """
    if url.startswith("journal:"):
        return f"journal:{_absolute(url.removeprefix('journal:').removeprefix('//'))}"
    if "://" not in url:
        if not url.endswith((*_JOURNAL, ".db", ".sqlite", ".sqlite3")):
            raise ConfigError(f'--storage "{hidden(url)}" is not known.', f"Use one of: {_FORMS}")
        return normal(f"journal:{url}" if url.endswith(_JOURNAL) else f"sqlite:///{url}")
    try:
        parsed = sqlalchemy.make_url(url.replace("postgres://", "postgresql://", 1))
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise ConfigError("--storage is not a URL.", f"Use one of: {_FORMS}") from None
    kind = parsed.drivername.partition("+")[0]
    if kind == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise ConfigError("--storage names no file.", "Example: sqlite:///study.db")
        return f"sqlite:///{_absolute(parsed.database)}"
    if kind not in DRIVERS:
        raise ConfigError(f'--storage "{hidden(url)}" is not known.', f"Use one of: {_FORMS}")
    driver = parsed.set(drivername=f"{kind}+{DRIVERS[kind][0]}")
    return driver.render_as_string(hide_password=False)


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


def hidden(url: str) -> str:
    """Return a URL without its password, to be shown and written."""
    if "://" not in url:
        return url
    try:
        return sqlalchemy.make_url(url).render_as_string(hide_password=True)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        return url.partition("://")[0] + "://..."


def secret(url: str) -> str:
    """Return the password of a URL, or an empty text."""
    try:
        return str(sqlalchemy.make_url(url).password or "") if "://" in url else ""
    except (sqlalchemy.exc.ArgumentError, ValueError):
        return ""


def file_of(url: str) -> Path | None:
    """Return the file of a normal URL, if it is in one."""
    for start in ("journal:", "sqlite:///"):
        if url.startswith(start):
            return Path(url.removeprefix(start))
    return None


def open_storage(url: str) -> Opened:
    """Open a storage, and make its tables if it has none.

    Args:
        url: As :func:`normal` returns it.

    Raises:
        ConfigError: SQLite on a network file system.
        MissingError: The driver is not installed, or the server does not answer.
    """
    path = file_of(url)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # No connection is kept: trials take long, and servers restart meanwhile.
        options: dict[str, Any] = {"poolclass": sqlalchemy.NullPool}
        if path is None:
            mutex = of_server(sqlalchemy.make_url(url))
        elif url.startswith("journal:"):
            mutex = of_shared_file(path)
        else:
            refuse_network(path)
            mutex, options["connect_args"] = of_file(path), {"timeout": 60}
        with mutex(), warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return Opened(_open(url, path, options), mutex, hidden(url))
    except ModuleNotFoundError:
        driver, extra = DRIVERS[sqlalchemy.make_url(url).get_backend_name()]
        hint = f'pip install "peftsearch[{extra}]"'
        raise MissingError(f"{driver} is not installed.", hint) from None
    except Exception as error:
        if not is_outage(error):
            raise
        reason = scrubbed(_reason(error), url)
        hint = "Is the server up, and are host, port, name and password right?"
        raise MissingError(f"{hidden(url)} does not answer: {reason}", hint) from None


def _open(url: str, path: Path | None, options: dict[str, Any]) -> BaseStorage:
    if url.startswith("journal:"):
        return JournalStorage(JournalFileBackend(str(path)))
    return RDBStorage(url, engine_kwargs=options)


def _reason(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def scrubbed(text: str, url: str) -> str:
    """Return a text in which the password of a URL does not occur."""
    word = secret(url)
    return text.replace(url, hidden(url)).replace(word, "***") if word else text


def mounts() -> list[tuple[str, str]]:
    """Return (mount point, type) of every file system; nothing where that is not told."""
    try:
        text = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    words = [line.split() for line in text.splitlines()]
    return [(w[1].replace("\\040", " "), w[2]) for w in words if len(w) > 2]


def file_system(path: Path, known: Sequence[tuple[str, str]]) -> str:
    """Return the type of the file system that holds a path."""
    here = path.resolve()
    holding = [(Path(at), kind) for at, kind in known if here.is_relative_to(at)]
    return max(holding, key=lambda pair: len(pair[0].parts), default=(here, ""))[1]


def refuse_network(path: Path) -> None:
    """Refuse SQLite where its locks do not hold.

    Raises:
        ConfigError: The file lies on a network file system.
    """
    kind = file_system(path, mounts())
    if kind in NETWORK:
        raise ConfigError(
            f"{path} lies on a network file system ({kind}), where the locks of SQLite do not "
            "hold: workers would lose or double trials.",
            f"Use --storage journal:{path.with_suffix('.journal')} or a server: "
            "--storage postgresql://HOST/NAME",
        )
