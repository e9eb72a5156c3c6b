"""Building a table: interrupted or not it is the same, and what was tampered with shows."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from peftsearch.bench import workers
from peftsearch.bench.build import COLUMNS, build, every_architecture, read_rows
from peftsearch.bench.checking import Difference, Rechecked, check, noise
from peftsearch.bench.listing import facts
from peftsearch.bench.placing import copied, writable
from peftsearch.bench.table import Table
from peftsearch.errors import ConfigError, MissingError, StoppedError
from tests.bench.material import Tiny


def rows_of(tiny: Tiny) -> list[dict[str, str]]:
    """Return the rows without the time they took."""
    rows = read_rows(tiny.folder / "scores.csv")
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_every_architecture_has_every_seed(tiny: Tiny) -> None:
    table = Table.read(tiny.folder)
    names = ["-".join(map(str, candidates)) for candidates in every_architecture(table.space)]
    assert len(names) == len(set(names)) == 12
    expected = {(name, seed) for name in names for seed in ("0", "1")}
    assert {(row["architecture"], row["seed"]) for row in rows_of(tiny)} == expected
    assert len({row["at_1"] for row in rows_of(tiny)}) > 2, "scores that say nothing"


def test_a_resumed_build_is_the_same(tiny: Tiny, tmp_path: Path) -> None:
    again = tiny.copy(tmp_path / "again", scores=False)
    told: list[tuple[int, int]] = []
    build(again.spec, again.config, most=10)
    path = again.folder / "scores.csv"
    path.write_bytes(path.read_bytes() + b"1-1-0,99,0,0.")  # killed in the middle of a row
    build(again.spec, again.config, progress=lambda done, total: told.append((done, total)))
    assert told == [(n, 24) for n in range(10, 25)]
    assert rows_of(again) == rows_of(tiny)


@pytest.mark.slow
def test_worker_processes_build_the_same(tiny: Tiny, tmp_path: Path) -> None:
    again = tiny.copy(tmp_path / "again", scores=False)
    build(again.spec, again.config, jobs=2)
    assert sorted(map(str, rows_of(again))) == sorted(map(str, rows_of(tiny)))


def test_check_finds_a_tampered_row(tiny: Tiny, tmp_path: Path) -> None:
    copy = tiny.copy(tmp_path / "t")
    same = check(copy.spec, copy.config, 3)
    assert (same.trained, same.different, same.off, same.within_noise) == (3, [], 0.0, True)
    path = copy.folder / "scores.csv"
    rows = read_rows(path)[:4]
    rows[2]["test"] = "0.9"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    found = check(copy.spec, copy.config, 99)
    (only,) = found.different
    assert (found.trained, found.rows_different, found.within_noise) == (4, 1, False)
    assert (only.architecture, only.column, only.written) == (
        rows[2]["architecture"],
        "test",
        "0.9",
    )
    path.unlink()
    with pytest.raises(MissingError, match="has no rows"):
        check(copy.spec, copy.config, 1)


def test_noise_is_what_two_seeds_differ_by() -> None:
    scores = [("a", "0.5"), ("a", "0.7"), ("b", "0.1"), ("b", "0.1"), ("c", "0.9")]
    columns = [name for name in COLUMNS if name == "test" or name.startswith("at_")]
    rows = [{"architecture": name} | dict.fromkeys(columns, score) for name, score in scores]
    assert noise(rows) == pytest.approx(math.sqrt(0.2**2 / 2))
    rows[0]["test"] = "0.7"
    assert noise(rows) == pytest.approx(math.sqrt(0.2**2 / 2 * (1 - 1 / len(columns))))
    assert noise(rows[-1:]) == 0.0, "a single seed says nothing of noise"


@pytest.mark.parametrize(("off", "fine"), [(0.0, True), (0.19, True), (0.21, False)])
def test_rows_may_be_rounded_otherwise_elsewhere(off: float, fine: bool) -> None:
    """Up to twice the noise, and not at all in a table of one seed, whose noise is not known."""
    other = Difference("0-1", 0, "test", "0.5", str(0.5 + off))
    assert Rechecked(1, [other], off, noise=0.1).within_noise is fine
    assert not Rechecked(1, [other], off + 0.01, noise=0.0).within_noise
    assert Rechecked(1, [], 0.0, noise=0.0).within_noise
    assert not Rechecked(1, [replace(other, column="num_params")], 0.0, noise=0.1).within_noise


def test_another_recipe_is_another_table(tiny: Tiny, tmp_path: Path) -> None:
    copy = tiny.copy(tmp_path / "t")
    path = copy.folder / "table.yaml"
    path.write_text(path.read_text().replace("steps: 16", "steps: 32"))
    with pytest.raises(ConfigError, match="belongs to another table: steps differ"):
        build(copy.spec, copy.config)


def test_a_table_elsewhere(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = copied(tiny.spec, tmp_path / "deep" / "down")
    assert sorted(path.name for path in moved.folder.iterdir()) == ["space.yaml", "table.yaml"]
    (moved.folder / "space.yaml").write_text("name: other\n")
    with pytest.raises(ConfigError, match="belongs to another table than tiny"):
        copied(tiny.spec, moved.folder)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file"):
        copied(tiny.spec, tmp_path / "file")
    assert writable(tiny.spec) is not None
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(ConfigError, match="cannot be written to") as refused:
        writable(tiny.spec)
    assert refused.value.hint == "Build elsewhere: peftsearch bench build tiny --out DIR"


def test_facts_before_and_after(tiny: Tiny, tmp_path: Path) -> None:
    found = facts(tiny.spec)
    assert (found["architectures"], found["built"], found["seeds"]) == (12, 2, 2)
    seconds = sum(float(row["seconds"]) for row in read_rows(tiny.folder / "scores.csv"))
    assert found["core_hours"] == pytest.approx(seconds / 3600, abs=5e-4)
    empty = facts(tiny.copy(tmp_path / "t", scores=False).spec)
    assert (empty["architectures"], empty["built"], empty["core_hours"]) == (None, 0, 0)
    assert empty["needs"] == ["--model DIR", "--data DIR"]


def _double(number: int) -> int:
    return 2 * number


def test_results_come_from_one_worker_or_several() -> None:
    assert list(workers.in_parallel(_double, [1, 2, 3], 1)) == [2, 4, 6]


@pytest.mark.slow
def test_results_come_from_several_workers() -> None:
    assert sorted(workers.in_parallel(_double, [1, 2, 3], 2)) == [2, 4, 6]


@pytest.mark.parametrize("inside", [False, True])
def test_a_signal_stops_between_two_jobs(inside: bool) -> None:
    """A job that stops by itself has no result; one that ends all the same keeps it."""

    def job(number: int) -> int:
        if number == 2:
            import signal

            signal.raise_signal(signal.SIGTERM)
            if inside:
                raise StoppedError(15, "Stopped inside.")
        return number

    found: list[int] = []
    with pytest.raises(StoppedError, match=f"Stopped after {1 if inside else 2} of 3") as stopped:
        _collect(found, job)
    assert stopped.value.exit_code == 143
    assert found == ([1] if inside else [1, 2])


def _collect(found: list[int], job: Callable[[int], int]) -> None:
    for result in workers.in_parallel(job, [1, 2, 3], 1):
        found.append(result)  # what came before the error is wanted
