"""The command: what it refuses, what it prints, what it never prints."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from peftsearch.cli import app
from tests.tune.conftest import PASSWORD, Server
from tests.tune.material import SPACE_FILE, STUB, wait_for, worker


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    """Run ``peftsearch tune`` in this process."""
    monkeypatch.setattr(sys, "argv", ["peftsearch", "tune", *words])
    done = CliRunner().invoke(app, ["tune", *words])
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--objectives", "loss"), "score,parameters"),
        (("--sampler", "tpee"), 'Did you mean "tpe"?'),
        (("--pruner", "hyperbnad"), 'Did you mean "hyperband"?'),
        (("--objectives", "score,parameters", "--pruner", "asha"), "cannot decide"),
        (("--resume", "x"), "the same command again"),
        (("--storage", "redis://h"), "--storage"),
        (("--task", "rt"), "Did you mean"),
        (("--tune-space", "absent.yaml"), "does not exist"),
    ],
)
def test_wrong_usage_is_two(
    words: tuple[str, ...], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = call(monkeypatch, *words)
    assert (code, out) == (2, ""), err
    assert text in err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.txt").write_text("x")
    code, _, err = call(monkeypatch, "--out", str(tmp_path))
    assert code == 2
    assert "holds no study" in err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_command_of_one_more_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("--trials", "9", "--workers", "4", "--budget=2%", "--out", "deep/out")
    code, out, _ = call(monkeypatch, *words, "--print-worker-command")
    here = Path.cwd()
    assert code == 0
    assert out.split() == [
        *"peftsearch tune --trials 9 --budget=2% --storage".split(),
        f"sqlite:///{here}/deep/out/study.db",
        "--out",
        f"{here}/deep/out",
    ]
    assert list(tmp_path.iterdir()) == []


def test_no_password_is_printed_or_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed: peftsearch[postgres]")
    url = "postgresql://me:hunter2@127.0.0.1:1/x"
    code, out, err = call(monkeypatch, "--storage", url, "--print-worker-command")
    assert code == 0
    assert "--storage" not in out
    assert "PEFTSEARCH_STORAGE" in err
    again = call(monkeypatch, f"--storage={url}", "--out", str(tmp_path / "out"))
    assert again[0] == 3, again[2]
    assert "does not answer" in again[2]
    assert "hunter2" not in "".join((out, err, *map(str, again), *sys.argv))
    assert not (tmp_path / "out").exists()


def test_nothing_written_holds_the_password(postgres: Server, tmp_path: Path) -> None:
    out = tmp_path / "out"
    url = postgres.database()
    words = ("--storage", url, "--workers", "2", "--debug")
    with worker(out, "", 3, *words, STUB_SLEEP="0.5") as process:
        wait_for(lambda: any(out.glob("trials/*")), process)
        held = [p for p in Path("/proc").glob("[0-9]*/cmdline") if PASSWORD in _read(p)]
        said = process.communicate(timeout=400)
    assert process.returncode == 0, said[1]
    assert PASSWORD not in "".join(said)
    texts = [p.read_bytes() for p in out.rglob("*") if p.is_file()]
    assert texts
    assert not [text for text in texts if PASSWORD.encode() in text]
    assert {int(p.parent.name) for p in held} <= {process.pid}  # what the user typed, and no other


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def test_json_and_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(SPACE_FILE)
    out = tmp_path / "out"
    words = ("--out", str(out), "--tune-space", str(space), "--trial-module", STUB)
    code, brief, err = call(monkeypatch, *words, "--trials", "2", "--quiet")
    assert (code, brief.strip(), err) == (0, str(out), "")
    import json

    code, text, _ = call(monkeypatch, *words, "--trials", "2", "--json")
    found = json.loads(text)
    assert code == 0
    assert (found["format_version"], found["trials"], found["out"]) == (1, 2, str(out))
    assert found["states"]["complete"] == 2
    code, text, _ = call(monkeypatch, *words, "--trials", "2")
    assert "peftsearch run --config" in text
    assert "were not tuned" in text
