"""Many workers on one study: every trial once, whatever is killed or restarted."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from peftsearch.tune import campaign
from peftsearch.tune.desk import Desk, LeaseLost
from peftsearch.tune.patience import Patience
from peftsearch.tune.place import Place
from peftsearch.tune.results import rows_of
from peftsearch.tune.storage import normal, open_storage
from tests.tune.conftest import Server
from tests.tune.material import begun, plan, team, wait_for, worker


def _check(desk: Desk, log: Path, trials: int, lost: int) -> None:
    """See that every trial ended once, and was begun once, and once more where it was lost."""
    rows = rows_of(desk)
    assert [row.number for row in rows] == list(range(trials))
    assert {row.state for row in rows} == {"complete"}
    assert sum(len(row.attempts) for row in rows) == lost
    begins = Counter(n for word, n in begun(log) if word == "begin")
    ends = Counter(n for word, n in begun(log) if word == "end")
    assert begins == {row.number: 1 + len(row.attempts) for row in rows}
    assert set(ends.values()) == {1}
    assert len(ends) == trials
    drawn = {tuple(row.params.values()) for row in rows}
    assert len(drawn) == trials


def test_four_workers_one_killed_and_the_database_restarted(
    postgres: Server, tmp_path: Path
) -> None:
    url, out, log, trials = postgres.database(), tmp_path / "out", tmp_path / "log", 12
    environ = {"STUB_SLEEP": "0.3", "STUB_LOG": str(log)}
    crew = [
        worker(out, url, trials, "--member", "--pruner", "none", "--lease", "20", **environ)
        for _ in range(4)
    ]
    try:
        wait_for(lambda: len(begun(log)) >= 5)
        victim = crew[0]
        mine = _running_of(victim.pid, log)
        wait_for(lambda: bool(mine()))
        victim.kill()
        wait_for(lambda: len(begun(log)) >= 10)
        postgres.restart()
        codes = [each.wait(400) for each in crew]
    finally:
        said = [_ended(each) for each in crew]
    assert codes == [-signal.SIGKILL, 0, 0, 0], said
    (desk,) = campaign.work(team(out, url), [plan(trials, pruner="none")])
    _check(desk, log, trials, lost=1)


def _running_of(pid: int, log: Path) -> Any:
    """Return a function that says whether a worker has a trial in progress."""

    def children() -> list[str]:
        try:
            return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            return []

    def running() -> bool:
        ended = {line.split()[3] for line in log.read_text().splitlines() if line[:3] == "end"}
        started = {line.split()[3] for line in log.read_text().splitlines() if line[0] == "b"}
        return any(child in started - ended for child in children())

    return running


def _ended(process: Any) -> str:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    return str(process.communicate(timeout=60)[1])


def test_a_crew_on_one_machine(tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    url = normal(f"sqlite:///{out / 'study.db'}")
    environ = {"STUB_SLEEP": "0.05", "STUB_LOG": str(log)}
    with worker(out, url, 8, "--workers", "2", "--pruner", "none", "--json", **environ) as process:
        said, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors
    (desk,) = campaign.work(team(out, url), [plan(8, pruner="none")])
    _check(desk, log, 8, lost=0)
    assert '"trials": 8' in said
    assert "such studies differ" in errors
    assert (out / "report" / "tune.html").is_file()


def desks(url: str, count: int, trials: int, **changes: Any) -> list[Desk]:
    """Return several workers' views of one study, in this process."""
    found = []
    for number in range(count):
        place = Place(worker=f"w{number}", host=f"host-{number}")
        patience = Patience(10, lambda: None, lambda text: None)
        opened = open_storage(normal(url))
        found.append(Desk(plan(trials), opened, patience, place=place, **changes))
    return found


def test_a_lease_runs_out_once(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent worker of another machine loses its trial to one, and can no longer end it."""
    clock = [0.0]
    monkeypatch.setattr("peftsearch.tune.desk.time.monotonic", lambda: clock[0])
    one, two, three = desks(storage, 3, trials=1, lease=60)
    first = one.claim()
    assert first is not None
    assert two.claim() is None
    assert three.claim() is None
    clock[0] = 59.0
    one.beat(first)
    assert two.claim() is None  # a beat: it lives
    clock[0] = 118.0
    assert two.claim() is None
    clock[0] = 119.5
    second = two.claim()
    assert second is not None
    assert (second.number, second.params) == (first.number, first.params)
    assert three.claim() is None
    from optuna.trial import TrialState

    for late in (
        lambda: one.beat(first),
        lambda: one.release(first),
        lambda: one.report(first, 0, 0.1),
        lambda: one.tell(first, TrialState.COMPLETE, [0.1], {}),
    ):
        with pytest.raises(LeaseLost):
            late()
    two.tell(second, TrialState.COMPLETE, [0.7], {})
    two.tell(second, TrialState.COMPLETE, [0.7], {})  # once, however often it is tried
    (row,) = rows_of(three)
    assert (row.state, row.attempts) == ("complete", ("its worker was lost",))
    assert one.study.trials[0].value == 0.7
    assert all(desk.finished() for desk in (one, two, three))


def test_a_trial_that_loses_every_worker_is_given_up(tmp_path: Path) -> None:
    (one, two) = desks(f"sqlite:///{tmp_path / 's.db'}", 2, trials=1, lease=0.0, attempts=2)
    assert one.claim() is not None
    assert two.claim() is None  # seen once
    assert two.claim() is not None  # still silent, and a lease of no time has run out
    assert one.claim() is None
    assert one.claim() is None
    (row,) = rows_of(one)
    assert (row.state, row.reason) == ("failed", "its worker was lost")


def test_what_died_between_two_words_is_put_back(storage: str) -> None:
    """A trial that runs without a lease, as one that was given out by a worker that then died."""
    (one,) = desks(storage, 1, trials=2)
    orphan = one.study.ask()
    claim = one.claim()
    assert claim is not None
    assert claim.number == orphan.number
    second = one.claim()
    assert second is not None
    assert one.claim() is None
    one.study.ask()  # one too many, as a server that restarts may count it
    assert one.claim() is None
    assert [row.number for row in rows_of(one)] == [0, 1]


def test_a_dead_process_of_this_machine_is_known_at_once() -> None:
    import subprocess
    import sys

    here = Place()
    lease = here.to_json()
    assert not here.knows_dead(lease)
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.DEVNULL) as other:
        other.wait()
    assert here.knows_dead({**lease, "pid": other.pid})
    assert here.knows_dead({**lease, "began": "1"})  # the number is another process's now
    assert not here.knows_dead({**lease, "pid": other.pid, "host": "elsewhere"})
