"""How good a choice is, against brute force on random tables full of ties; look-ups."""

from __future__ import annotations

import statistics
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftsearch.architecture import Architecture
from peftsearch.baselines import to_choices
from peftsearch.bench.build import read_rows
from peftsearch.bench.lookup import TableTrials
from peftsearch.bench.spec import RUNGS
from peftsearch.bench.table import Table, additive, agreement, at, ceiling, percentile, regret
from peftsearch.errors import MissingError
from peftsearch.race import Contestant
from tests.bench.material import Tiny, random_table

SEEDS = st.integers(0, 10**6)


def scores_of(table: Table) -> dict[tuple[str, int], float]:
    """Return every test score, read row by row."""
    rows = table.rows.to_dict("records")
    return {(row["architecture"], int(row["seed"])): float(row["test"]) for row in rows}


def within(table: Table, limit: int) -> list[str]:
    """Return the architectures within a limit, row by row."""
    rows = table.rows.to_dict("records")
    return sorted({r["architecture"] for r in rows if r["num_params"] <= limit})


def share_below(chosen: str, truth: dict[str, float]) -> float:
    """Percentile by going through the others one by one."""
    others = [name for name in truth if name != chosen]
    points = [1.0 if truth[n] < truth[chosen] else 0.5 * (truth[n] == truth[chosen])
              for n in others]  # fmt: skip
    return 100 * statistics.fmean(points) if points else 100.0


def tau_b(first: list[float], second: list[float]) -> float:
    """Kendall's tau-b from all pairs."""
    pairs = [(i, j) for i in range(len(first)) for j in range(i)]
    signs = [(np.sign(first[i] - first[j]), np.sign(second[i] - second[j])) for i, j in pairs]
    left, right = (sum(s[k] != 0 for s in signs) for k in (0, 1))
    return sum(a * b for a, b in signs) / (left * right) ** 0.5 if left and right else 0.0


@given(SEEDS, st.integers(0, 100), st.integers(0, 2))
def test_percentile_and_regret(seed: int, limit: int, seen: int) -> None:
    table = random_table(seed)
    scores, names = scores_of(table), within(table, limit)
    truth = {n: statistics.fmean(scores[n, k] for k in range(3) if k != seen) for n in names}
    among, found = table.fits(limit), table.truth(seen)
    assert [table.labels[i] for i in np.flatnonzero(among)] == names
    for name in names:
        place = table.labels.index(name)
        assert percentile(place, found, among) == pytest.approx(share_below(name, truth))
        best = max(truth.values())
        assert regret(place, found, among) == pytest.approx(100 * (best - truth[name]))


@given(SEEDS, st.integers(0, 100))
def test_ceiling(seed: int, limit: int) -> None:
    table = random_table(seed)
    scores, names = scores_of(table), within(table, limit)
    rows = {(r["architecture"], int(r["seed"])): r for r in table.rows.to_dict("records")}
    found = []
    for k in range(3):
        seen = {n: float(rows[n, k][at(1.0)]) for n in names}
        truth = {n: statistics.fmean(scores[n, j] for j in range(3) if j != k) for n in names}
        best = max(names, key=lambda n: seen[n])  # used at once; the first of equals
        found.append(
            (
                share_below(best, truth),
                100 * (max(truth.values()) - truth[best]),
                tau_b([seen[n] for n in names], [truth[n] for n in names]),
            )
        )
    expected = [statistics.median(column) for column in zip(*found, strict=True)]
    answer = ceiling(table, limit)
    assert [answer.percentile, answer.regret, answer.tau] == pytest.approx(expected)


@given(SEEDS)
def test_agreement_of_additive_values(seed: int) -> None:
    table, rng = random_table(seed), np.random.default_rng(seed)
    values = [[float(v) for v in rng.integers(0, 3, n)] for n in (2, 3, 2)]
    predicted = [
        sum(values[g][int(c)] for g, c in enumerate(name.split("-"))) for name in table.labels
    ]
    assert additive(table, values).tolist() == pytest.approx(predicted)
    everything = table.fits(10**9)
    found = agreement(np.array(predicted), table.truth(0), everything)
    assert found == pytest.approx(tau_b(predicted, table.truth(0).tolist()))


def test_the_fingerprint_is_of_the_scores_and_not_of_their_order() -> None:
    table = random_table(1)
    shuffled = Table(table.facts, table.rows.sample(frac=1, random_state=0))
    slower = Table(table.facts, table.rows.assign(seconds=2.0))
    assert shuffled.fingerprint == slower.fingerprint == table.fingerprint
    assert random_table(2).fingerprint != table.fingerprint


def test_lookups_are_the_rows(tiny: Tiny) -> None:
    table = Table.read(tiny.folder)
    for row in read_rows(tiny.folder / "scores.csv"):
        candidates = tuple(map(int, row["architecture"].split("-")))
        trials = TableTrials(table, int(row["seed"]))
        contestant = _contestant(table, candidates)
        for share in RUNGS:
            assert trials.score(contestant, share) == float(row[at(share)])
        assert trials.spent == 1.0
        assert table.num_params[trials.place(contestant)] == int(row["num_params"])


def test_going_on_costs_the_difference(tiny: Tiny) -> None:
    table = Table.read(tiny.folder)
    trials = TableTrials(table, 0)
    first, second = _contestant(table, (1, 0, 0)), _contestant(table, (0, 1, 0))
    spent = []
    for contestant, share in ((first, 0.25), (second, 0.25), (first, 1.0), (first, 0.5)):
        trials.score(contestant, share)
        spent.append(trials.spent)
    assert spent == [0.25, 0.5, 1.25, 1.25]


def _contestant(table: Table, candidates: tuple[int, ...]) -> Contestant:
    choices = to_choices(table.space, candidates)
    architecture = Architecture(
        model="m", task="t", backbone_parameters=1, requested="1", limit=10**9, choices=choices
    )
    return Contestant("c", "c", architecture)


def test_seeds_that_are_not_complete_do_not_count(tiny: Tiny, tmp_path: Path) -> None:
    copy = tiny.copy(tmp_path / "t")
    path = copy.folder / "scores.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    assert Table.read(copy.folder).seeds == [0]
    path.write_text("".join(lines[:5]))
    with pytest.raises(MissingError, match="is not built"):
        Table.read(copy.folder)
