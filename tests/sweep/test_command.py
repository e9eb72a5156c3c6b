"""``peftsearch sweep`` as a command, with stub runs and, once, with real ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml

from peftsearch.errors import StoppedError
from peftsearch.sweep import crew
from tests.cli.conftest import Invoke, Pipeline, invoke, pipeline
from tests.pipeline.material import SHORT, build
from tests.sweep.conftest import STUB

__all__ = ["invoke", "pipeline"]


@pytest.fixture
def stubs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let runs be stubs; the report over them is left out. Return the file of a sweep."""
    written: list[list[str]] = []

    def compare(runs: list[Path], out: Path) -> Path:
        written.append([run.name for run in runs])
        (out / "report.html").parent.mkdir(exist_ok=True)
        (out / "report.html").write_text(json.dumps(written))
        return out / "report.html"

    monkeypatch.setattr(crew, "PROGRAM", STUB)
    monkeypatch.setattr(crew.Crew, "__init__", _with_stubs(crew.Crew.__init__))
    monkeypatch.setattr("peftsearch.compare.compare", compare)
    monkeypatch.setenv("STUB_JOURNAL", str(tmp_path / "journal"))
    file = tmp_path / "s.yaml"
    file.write_text("name: s\nmatrix: {seed: [0, 1, 2]}\n")
    return file


def _with_stubs(original):
    def init(self, *values, **named):
        original(self, *values, **{**named, "program": STUB})

    return init


def test_table_json_quiet_and_again(stubs: Path, invoke: Invoke, tmp_path: Path) -> None:
    done = invoke("sweep", "s.yaml", "--jobs", "2")
    assert (done.code, "Error" in done.err) == (0, False)
    assert "Report: runs/sweep-s/report/report.html" in done.out
    assert "Sweep runs/sweep-s: 3 done" in done.out
    assert "51.0 % (n = 1)" in done.out
    assert done.err.count("Begins: seed-") == 3
    data = json.loads(invoke("sweep", "s.yaml", "--json").out)
    stored = json.loads((tmp_path / "runs" / "sweep-s" / "sweep.json").read_text())
    assert {key: data[key] for key in stored} == stored
    assert stored["format"] == 1
    assert stored["counts"] == {"done": 3}
    assert [row["labels"] for row in stored["runs"]] == [{"seed": str(n)} for n in range(3)]
    assert all(Path("runs/sweep-s", row["run_dir"]).is_dir() for row in stored["runs"])
    page = tmp_path / "runs" / "sweep-s" / "report" / "report.html"
    assert json.loads(page.read_text()) == [stored["compared"]]  # once, over all three
    quiet = invoke("sweep", "s.yaml", "--quiet")
    assert (quiet.out, quiet.err) == ("runs/sweep-s\n", "")


def test_the_exit_code_is_that_of_the_first_failure(
    stubs: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_FAIL", "1=5 2=4")
    done = invoke("sweep", "s.yaml", "--out", "here")
    assert done.code == 5
    assert "failed (5)" in done.out
    assert "2 of 3 runs failed: seed-1-" in done.err
    assert "The first, with exit code 5: seed 1 cannot be done." in done.err
    assert "All it said: here/logs/seed-1-" in done.err
    assert "peftsearch sweep s.yaml --out here --retry-failed" in done.err
    monkeypatch.delenv("STUB_FAIL")
    again = invoke("sweep", "s.yaml", "--out", "here")
    assert again.code == 5  # failed ones are left alone
    assert "2 already failed before" in again.err
    assert invoke("sweep", "s.yaml", "--out", "here", "--retry-failed").code == 0


def test_a_stop_prints_the_command_that_goes_on(
    stubs: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(self: crew.Crew) -> None:
        raise StoppedError(15, "Stopped with 3 runs to go; 0 runs at work saved.")

    monkeypatch.setattr(crew.Crew, "work", stopped)
    done = invoke("sweep", "s.yaml", "--jobs", "2")
    assert (done.code, done.out) == (143, "")
    assert "Continue with:\n  peftsearch sweep s.yaml --jobs 2" in done.err
    stored = json.loads(Path("runs/sweep-s/sweep.json").read_text())
    assert stored["counts"] == {"pending": 3}


def test_what_is_no_longer_in_the_file_is_named(stubs: Path, invoke: Invoke) -> None:
    invoke("sweep", "s.yaml")
    stubs.write_text("name: s\nmatrix: {seed: [1, 2]}\n")
    done = invoke("sweep", "s.yaml")
    assert "Warning: 1 in runs/sweep-s/runs no longer in the file, left as they are: seed-0-" in (
        done.err
    )
    stored = json.loads(Path("runs/sweep-s/sweep.json").read_text())
    assert len(stored["no_longer_in_the_file"]) == 1
    assert stored["counts"] == {"done": 2}


def test_a_dry_run_starts_nothing(stubs: Path, pipeline: Pipeline, invoke: Invoke) -> None:
    done = invoke("sweep", "s.yaml", "--dry-run")
    assert done.code == 0
    assert "28.5 single trainings in all, 28.5 of them to be done" in done.out
    assert done.out.rstrip().endswith("Next: peftsearch sweep s.yaml")
    assert not Path("runs").exists()
    assert len(pipeline.calls) == 1  # seeds alone differ
    data = json.loads(invoke("sweep", "s.yaml", "--dry-run", "--json").out)
    assert [row["limit"] for row in data["runs"]] == [2850] * 3


def test_a_dry_run_names_what_is_impossible(
    stubs: Path, pipeline: Pipeline, invoke: Invoke
) -> None:
    from peftsearch.errors import BudgetError

    pipeline.fail = BudgetError("nothing fits.")
    done = invoke("sweep", "s.yaml", "--dry-run")
    assert done.code == 4
    assert "impossible (4)" in done.out
    assert "nothing fits." in done.err


def test_mistakes_start_nothing(stubs: Path, invoke: Invoke) -> None:
    stubs.write_text("name: s\nmatrix: {sede: [0]}\ncommon: {sed: 1}\n")
    done = invoke("sweep", "s.yaml")
    assert (done.code, done.out) == (2, "")
    assert "2 problems" in done.err
    assert not Path("runs").exists()
    assert invoke("sweep", "none.yaml").code == 2


@pytest.mark.slow
def test_two_real_runs_end_in_one_report(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real thing: two processes of their own, and the real comparison."""
    material = build(tmp_path / "material")
    common = {
        **SHORT,
        "model": str(material.t5),
        "task": "rte",
        "data": str(material.data),
        "space": str(material.space),
        "trainings": 8,
        "export": {"targets": []},
    }
    content = {"name": "real", "common": common, "matrix": {"seed": [0, 1]}}
    (tmp_path / "real.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    done = invoke("sweep", "real.yaml", "--jobs", "2")
    assert done.code == 0, done.err
    place = tmp_path / "runs" / "sweep-real"
    stored = json.loads((place / "sweep.json").read_text())
    assert stored["counts"] == {"done": 2}
    for row in stored["runs"]:
        summary = json.loads((place / row["run_dir"] / "summary.json").read_text())
        assert row["found"] == summary["found"]
        assert row["best_baseline"]["mean"] == max(b["mean"] for b in summary["baselines"].values())
    page = (place / stored["report"]).read_text()
    assert all(row["name"] in page for row in stored["runs"])
    assert "2 runs compared" in page
