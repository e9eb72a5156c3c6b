"""Storages by URL: what is refused, what is hidden, what is waited for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import sqlalchemy

from peftsearch.errors import ConfigError, MissingError
from peftsearch.tune import storage
from peftsearch.tune.patience import Patience, is_outage

URL = "postgresql://me:pa%2Fss@host:5432/name"


def test_urls_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    here = Path.cwd()
    assert storage.normal("study.db") == f"sqlite:///{here}/study.db"
    assert storage.normal("sqlite:///a/b.db") == f"sqlite:///{here}/a/b.db"
    assert storage.normal("journal:j.x") == storage.normal("journal://j.x") == f"journal:{here}/j.x"
    assert storage.normal("a.journal") == f"journal:{here}/a.journal"
    assert storage.normal(URL) == URL.replace("postgresql:", "postgresql+psycopg:")
    assert storage.normal("postgres://h/n") == "postgresql+psycopg://h/n"
    assert storage.normal("mysql+mysqldb://h/n") == "mysql+pymysql://h/n"


@pytest.mark.parametrize("url", ["redis://h", "oracle://h/n", "somewhere", "sqlite://", "pg:/x"])
def test_unknown_kinds_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="--storage"):
        storage.normal(url)


def test_passwords_are_hidden() -> None:
    full = storage.normal(URL)
    assert storage.hidden(full) == "postgresql+psycopg://me:***@host:5432/name"
    assert storage.secret(full) == "pa/ss"
    assert "pa/ss" not in storage.scrubbed("cannot log in with pa/ss", full)
    assert storage.hidden("postgresql://me:x@host:port/") == "postgresql://..."


@pytest.mark.parametrize(("kind", "fits"), [("nfs4", False), ("fuse.sshfs", False), ("ext4", True)])
def test_sqlite_on_a_network_file_system(
    kind: str, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [("/", "ext4"), (str(tmp_path.resolve()), kind), (str(tmp_path / "other"), "nfs")]
    monkeypatch.setattr(storage, "mounts", lambda: known)
    url = storage.normal(f"sqlite:///{tmp_path / 'deep' / 's.db'}")
    if fits:
        assert storage.open_storage(url).storage.get_all_studies() == []
        return
    with pytest.raises(ConfigError, match=kind) as refused:
        storage.open_storage(url)
    assert "--storage journal:" in refused.value.hint
    assert storage.open_storage(f"journal:{tmp_path / 's.journal'}").shown.startswith("journal:")


def test_this_machine_tells_its_file_systems() -> None:
    found = storage.mounts()
    if sys.platform == "linux":
        assert storage.file_system(Path("/proc/self"), found) == "proc"
    assert storage.file_system(Path("/a/b"), [("/", "x"), ("/a", "y"), ("/ab", "z")]) == "y"


@pytest.mark.parametrize(
    ("url", "extra"), [("postgresql://h/n", "postgres"), ("mysql://h/n", "mysql")]
)
def test_a_missing_driver(url: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("psycopg", "pymysql"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingError) as refused:
        storage.open_storage(storage.normal(url))
    assert refused.value.exit_code == 3
    assert refused.value.hint == f'pip install "peftsearch[{extra}]"'


def test_a_server_that_is_not_there() -> None:
    pytest.importorskip("psycopg")
    url = storage.normal("postgresql://me:hunter2@127.0.0.1:1/name")
    with pytest.raises(MissingError, match="does not answer") as refused:
        storage.open_storage(url)
    assert "hunter2" not in str(refused.value)


def test_patience_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("peftsearch.tune.patience.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("peftsearch.tune.patience.time.sleep", lambda s: clock.append(
        clock.pop() + s))  # fmt: skip
    told: list[str] = []
    patience = Patience(20, lambda: None, told.append)
    away = sqlalchemy.exc.OperationalError("", {}, Exception("gone"))
    calls: list[float] = []

    def call() -> str:
        calls.append(clock[0])
        if clock[0] < 5:
            raise away
        return "back"

    assert patience(call) == "back"
    assert calls == sorted(set(calls))
    assert (len(told), patience.outages) == (1, 1)

    def never() -> None:
        raise away

    with pytest.raises(MissingError, match="has not answered for 20 s"):
        patience(never)
    with pytest.raises(ZeroDivisionError):
        patience(lambda: 1 // 0)
    assert not is_outage(sqlalchemy.exc.ProgrammingError("", {}, Exception()))
