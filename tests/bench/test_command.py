"""``bench``, ``bench build``, ``bench list``: what they print, write and refuse."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peftsearch.bench import campaign
from peftsearch.bench.outcome import COLUMNS
from peftsearch.bench.spec import read_spec
from peftsearch.catalogue import strategies
from tests.bench.material import Tiny

PLAYERS = ("--strategy", "uniform", "--strategy", "random")


def words(tiny: Tiny, *more: str) -> tuple[str, ...]:
    """Return a short benchmark on the tiny table."""
    return ("bench", "--table", str(tiny.folder), *tiny.words, "--seeds", "3", *more)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the key of every match that is really played."""
    played: list[str] = []
    real: Callable[[Any], dict[str, Any]] = campaign.play_one

    def noting(match: campaign.Match) -> dict[str, Any]:
        played.append(match.key)
        return real(match)

    monkeypatch.setattr(campaign, "play_one", noting)
    return played


def test_a_benchmark_and_going_on_with_it(invoke, tiny, counted):
    first = invoke(*words(tiny, *PLAYERS, "--budget", "tight", "--out", "b", "--json"))
    assert first.code == 0, first.err
    data = json.loads(first.out)
    assert data["format_version"] == 1
    written = json.loads(Path("b/bench.json").read_text())
    assert {**written, "format_version": 1} == data
    assert len(counted) == len(set(counted)) == len(data["plays"]) == 6
    assert [p["sees"] for p in data["plays"]] == [0, 1, 0] * 2
    assert {p["violation"] for p in data["plays"]} == {0}
    for play in data["plays"]:
        assert play["cost"] == play["trainings"] + play["searched"]
        own_time = play["seconds"] / play["single_seconds"]
        assert play["measured"] == pytest.approx(play["trainings"] + own_time)
    rows = list(csv.DictReader(Path("b/bench.csv").read_text().splitlines()))
    assert list(rows[0]) == list(COLUMNS)
    assert [float(row["regret"]) for row in rows] == [p["regret"] for p in data["plays"]]
    assert Path("b/bench.png").read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in Path("b/bench.svg").read_text()

    lines = Path("b/plays.jsonl").read_text().splitlines(keepends=True)
    Path("b/plays.jsonl").write_text("".join(lines[:4]) + lines[4][:30])  # killed in a line
    again = invoke(*words(tiny, *PLAYERS, "--out", "b"))
    assert again.code == 0, again.err
    assert len(counted) == 6 + 2 + 6, "two that were lost, and six at the other budget"
    assert "bench  4/12" in again.err
    assert again.out.count("(noise ceiling)") == 2
    assert "random against uniform: median regret difference" in again.out
    assert "n = 6, p = " in again.out
    assert again.out.endswith("Written: b\n")
    assert invoke(*words(tiny, *PLAYERS, "--out", "b", "--quiet")).out == "b\n"
    assert len(counted) == 14


def test_the_lines_are_the_summary(invoke, tiny):
    outcome = invoke(*words(tiny, "--strategy", "uniform", "--out", "b"))
    (cell, _) = json.loads(Path("b/bench.json").read_text())["summary"]
    shown = [
        "{median:.{d}f} [{lowest:.{d}f}, {highest:.{d}f}]".format(**cell[key], d=digits)
        for key, digits in (("percentile", 1), ("regret", 2), ("cost", 2))
    ]
    (line,) = [x for x in outcome.out.splitlines() if "tight" in x and "uniform" in x]
    assert all(text in line for text in shown)
    assert "none" in line, "a strategy without values has no tau"
    assert "against" not in outcome.out, "nobody to compare with"


def test_other_settings_are_other_plays(invoke, tiny, counted):
    run = words(tiny, "--strategy", "random", "--budget", "tight", "--out", "b")
    for more in ((), ("--set", "trainings=3"), ("--preset", "standard")):
        assert invoke(*run, *more).code == 0
    assert len(set(counted)) == len(counted) == 9


def test_priced_is_the_default_and_all_are_all(invoke, tiny, monkeypatch):
    asked: list[str] = []

    def nothing(wanted: Any, *args: Any, **more: Any) -> None:
        asked[:] = dict.fromkeys(match.strategy for match in wanted)
        raise KeyboardInterrupt

    monkeypatch.setattr(campaign, "run", nothing)
    stopped = invoke(*words(tiny))
    assert (stopped.code, asked) == (130, ["priced"])
    assert f"Continue with:\n  peftsearch bench --table {tiny.folder}" in stopped.err
    (folder,) = Path("runs").iterdir()
    assert folder.name.startswith("bench-")
    assert stopped.err.endswith(f"--out {folder}\n")
    invoke(*words(tiny, "--strategy", "all", "--out", "b"))
    assert asked == list(strategies())


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        (("--strategy", "prized"), 2, 'Did you mean "priced"? List: peftsearch list strategies'),
        (("--table", "micro-nil"), 2, 'Did you mean "micro-nli"? List: peftsearch list tables'),
        (("--budget", "tigth"), 2, 'Did you mean "tight"?'),
        (("--preset", "quik"), 2, 'Did you mean "quick"?'),
        (("--seeds", "0"), 2, "--seeds"),
        (("--set", "search.stepz=1"), 2, 'Did you mean "search.steps"?'),
        (("--out", "full"), 2, "full is not empty, and holds no benchmark"),
        (("--out", "full/file"), 2, "full/file is a file"),
        (("buidl",), 2, "buidl"),
        (("--jobs", "2", "build", "micro-nli"), 2, "Put it behind build."),
    ],
)
def test_wrong_usage(invoke, tiny, more, code, text):
    Path("full").mkdir()
    Path("full/file").touch()
    outcome = invoke(*words(tiny), *more)
    assert (outcome.code, outcome.out) == (code, "")
    assert text in outcome.err
    assert sorted(map(str, Path().rglob("*"))) == ["full", "full/file"]


def test_an_unknown_table_cannot_be_built(invoke):
    outcome = invoke("bench", "build", "micro-nly")
    assert (outcome.code, outcome.out) == (2, "")
    assert 'table "micro-nly" is not known' in outcome.err
    assert 'Did you mean "micro-nli"?' in outcome.err


def test_tables_that_cannot_be_played_on_say_what_to_type(invoke, tiny, tmp_path, monkeypatch):
    unbuilt = tiny.copy(tmp_path / "tables" / "tiny", scores=False)
    monkeypatch.setattr("peftsearch.cli.benching.tables", lambda: {str(unbuilt.folder): None})
    outcome = invoke("bench")
    assert (outcome.code, outcome.out) == (3, "")
    assert "Type: peftsearch bench --table tiny --model DIR --data DIR" in outcome.err
    assert "There is no table to play on." in outcome.err
    outcome = invoke("bench", *tiny.words)
    assert outcome.code == 3
    assert "it is not built. Type: peftsearch bench build tiny" in outcome.err
    named = invoke("bench", "--table", str(tiny.folder))
    assert named.code == 2
    assert "The table tiny needs --model DIR and --data DIR" in named.err
    named = invoke("bench", "--table", str(unbuilt.folder), *tiny.words)
    assert (named.code, "is not built" in named.err) == (3, True)


def test_build_elsewhere_then_check_then_play(invoke, tiny, tmp_path):
    source = tiny.copy(tmp_path / "source", scores=False)
    build = ("bench", "build", str(source.folder), *tiny.words, "--out", "mine")
    part = invoke(*build, "--most", "2")
    assert part.code == 0, part.err
    assert "2 of 24 rows: 12 architectures, 0 of 2 seeds complete" in part.out
    given = f"--model {tiny.model} --data {tiny.data}"
    assert part.out.endswith(f"Next: peftsearch bench build mine {given}\n")
    assert "build  0/24" in part.err
    whole = json.loads(invoke(*build, "--json").out)
    assert (whole["rows"], whole["built"], whole["folder"]) == (24, 2, "mine")
    assert set(whole["ceilings"]) == {"tight", "loose"}
    assert not (source.folder / "scores.csv").exists()
    check = ("bench", "build", "mine", *tiny.words, "--check", "2")
    checked = invoke(*check)
    assert (checked.code, checked.out) == (0, "2 of 2 rows come out as written.\n")

    def shifted(column, by):
        """Write every row with one number moved; return its name."""
        head, *rows = (source.folder.parent / "good.csv").read_text().splitlines()
        moved = [row.split(",") for row in rows]
        for row in moved:
            row[column] = str(float(row[column]) + by)
        Path("mine/scores.csv").write_text("\n".join([head, *map(",".join, moved)]) + "\n")
        return head.split(",")[column]

    shutil.copy("mine/scores.csv", source.folder.parent / "good.csv")
    assert shifted(-2, 0.5) == "test"  # one of five scores: 50 / sqrt(5) points
    found = invoke(*check)
    assert (found.code, found.out) == (1, "")
    assert "Error: 2 of 2 rows of tiny come out otherwise, scores by 22.36" in found.err
    assert "too much for rounding." in found.err
    assert found.err.count(": test: written ") == 2
    listed = json.loads(invoke(*check, "--json").out)
    assert (listed["checked"], len(listed["different"]), listed["within_noise"]) == (2, 2, False)

    assert shifted(3, 1e-6) == "at_0.125"  # the last digit, as on another processor
    found = invoke(*check)
    assert found.code == 0, found.err
    assert found.out.startswith("2 of 2 rows of tiny come out otherwise, scores by 0.00")
    assert "rounding, as on other hardware." in found.out
    assert found.out.count(": at_0.125: written ") == 2


def test_lists(invoke):
    out = invoke("list", "tables").out
    assert out == invoke("bench", "list").out
    assert out.splitlines()[0].split() == [
        *("name", "architectures", "metric", "seeds", "built", "steps", "budgets"),
        *("core_hours", "needs", "description"),
    ]
    (entry,) = [
        e
        for e in json.loads(invoke("list", "tables", "--json").out)["tables"]
        if e["name"] == "micro-nli"
    ]
    spec = read_spec("micro-nli")
    assert (entry["seeds"], entry["budgets"]) == (spec.seeds, dict(spec.budgets))
    listed = json.loads(invoke("list", "strategies", "--json").out)["strategies"]
    assert [e["name"] for e in listed] == list(strategies())
    assert listed[0]["name"] == "priced"
