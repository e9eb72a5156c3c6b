"""Comparisons: every table against an answer computed otherwise, and the page against its runs."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.cluster import hierarchy

from peftsearch.architecture import Architecture
from peftsearch.compare import compare, tables
from peftsearch.compare.average import averaged
from peftsearch.compare.read import labels, read
from peftsearch.errors import ConfigError
from tests.unit.report import factory

SMALL = factory.Plan(stacks=(("encoder", 1),))


def run(
    root: Path, seed: int, plan: factory.Plan = SMALL, limit: int | None = None, **facts: Any
) -> Path:
    """A finished run with choices, and values of all candidates, drawn at random."""
    factory.finished(root, plan)
    draw = random.Random(seed)
    gates = factory.gates(plan)
    found = json.loads((root / "architecture.json").read_text())
    taken = [{"site": g["site"], **draw.choice(g["candidates"])} for g in gates]
    total = sum(choice["num_params"] for choice in taken)
    budget = {"requested": "1%", "limit": limit or total}
    factory.write(
        root / "architecture.json",
        {**found, "budget": budget, "num_params": total, "choices": taken, **facts},
    )
    measured = json.loads((root / "search" / "measured.json").read_text())
    values = [[draw.gauss(0, 1) for _ in gate["candidates"]] for gate in gates]
    factory.write(root / "search" / "measured.json", {**measured, "values": values})
    summary = json.loads((root / "summary.json").read_text())
    summary["budget"] |= {"limit": limit or total, "used": total}
    factory.write(root / "summary.json", summary | facts)
    return root


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    counter = itertools.count()
    return lambda *given, **more: run(tmp_path / f"run-{next(counter)}", *given, **more)


def test_overlap_is_the_share_spent_alike(make: Callable[..., Path]) -> None:
    paths = [make(seed, factory.Plan()) for seed in range(5)]
    found = tables.overlap(read(paths))
    spent: list[dict[tuple[str, str], float]] = []
    for path in paths:
        choices = json.loads((path / "architecture.json").read_text())["choices"]
        total = sum(choice["num_params"] for choice in choices)
        spent.append({(c["site"], c["method"]): c["num_params"] / total for c in choices})
    for i, j in itertools.product(range(5), repeat=2):
        both = spent[i].keys() & spent[j].keys()
        expected = sum(min(spent[i][key], spent[j][key]) for key in both)
        assert found.iloc[i, j] == pytest.approx(expected)
        assert 0 <= found.iloc[i, j] <= 1 + 1e-9
    assert np.diag(found) == pytest.approx(1.0)


def test_backbones_of_other_shapes_are_not_compared(make: Callable[..., Path]) -> None:
    runs = read([make(0), make(1, factory.Plan(stacks=(("encoder", 2),)))])
    assert np.isnan(tables.overlap(runs).iloc[0, 1])
    assert np.isnan(tables.agreement(runs).iloc[0, 1])
    assert tables.tree(tables.overlap(runs)) is None
    with pytest.raises(ConfigError, match="backbones of other shapes"):
        averaged(runs)


def test_agreement_is_kendalls_tau_of_the_candidates(make: Callable[..., Path]) -> None:
    paths = [make(seed) for seed in range(2)]
    worth = []
    for path in paths:
        rows = json.loads((path / "search" / "measured.json").read_text())["values"]
        worth.append([value - row[0] for row in rows for value in row[1:]])
    found = tables.agreement(read(paths))
    assert found.iloc[0, 1] == pytest.approx(stats.kendalltau(*worth).statistic)
    assert found.iloc[0, 0] == pytest.approx(1.0)


def test_paired_differences_are_those_of_a_t_test() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=(2, 6))
    test = stats.ttest_rel(ours, theirs)
    low, high = test.confidence_interval(0.95)
    assert tables.paired(list(ours), list(theirs)) == pytest.approx(
        (float(np.mean(ours - theirs)), low, high)
    )
    assert tables.paired([1.0], [0.5])[0] == 0.5
    assert tables.paired([0.2], [0.5], higher_is_better=False)[0] == pytest.approx(0.3)
    assert np.isnan(tables.paired([1.0], [0.5])[1])
    assert np.isnan(tables.paired([1.0, 2.0], [0.5])[0])


def test_only_runs_on_the_same_rows_are_set_against_each_other(make: Callable[..., Path]) -> None:
    runs = read([make(0), make(1), make(2, task="other")])
    found = tables.differences(runs)
    assert list(zip(found["run"], found["other"], strict=True)) == [("run-0", "run-1")]
    changed = replace(
        runs[1], data=replace(runs[1].data, manifest={"data": {"fingerprint": "another"}})
    )
    assert tables.differences([runs[0], changed]).empty


def test_the_tree_finds_planted_groups() -> None:
    """Two groups, alike within and unlike between."""
    names = [f"run-{i}" for i in range(6)]
    group = np.array([0, 1, 0, 1, 1, 0])
    alike = np.where(group[:, None] == group[None, :], 0.8, 0.1)
    np.fill_diagonal(alike, 1.0)
    tree = tables.tree(pd.DataFrame(alike, index=names, columns=names))
    assert tree is not None
    cut = hierarchy.fcluster(tree, 2, "maxclust")
    assert len({(a, b) for a, b in zip(group, cut, strict=True)}) == 2


def _mark(path: Path, chosen: dict[str, str], limit: int, task: str = "micro-nli") -> Path:
    """Let a run choose a method at some sites, the first candidate of it, and nothing else."""
    gates = factory.gates(SMALL)
    rows = []
    for gate in gates:
        named = chosen.get(gate["part"], "none")
        row = next(c for c in gate["candidates"] if c["method"] == named)
        rows.append({"site": gate["site"], **row})
    found = json.loads((path / "architecture.json").read_text())
    budget = {"requested": "1%", "limit": limit}
    factory.write(path / "architecture.json", {**found, "choices": rows, "budget": budget})
    summary = json.loads((path / "summary.json").read_text())
    summary["budget"]["limit"], summary["task"] = limit, task
    factory.write(path / "summary.json", summary)
    return path


def test_what_choices_have_in_common(make: Callable[..., Path]) -> None:
    def kinds(*paths: Path) -> dict[tuple[str, str], str]:
        table = tables.choices(read(list(paths)))
        return {(r.part, r.method): r.kind for r in table.itertuples()}

    small = _mark(make(0), {"attention": "lora"}, 1000)
    large = _mark(make(1), {"attention": "lora", "norm": "layernorm"}, 2000)
    assert kinds(small, large) == {
        ("attention", "lora"): "shared",
        ("norm", "layernorm"): "budget",
    }
    other = _mark(make(2), {"attention": "lora", "feed_forward": "ia3"}, 1000, task="rte")
    assert kinds(small, large, other) == {
        ("attention", "lora"): "shared",
        ("feed_forward", "ia3"): "task",
        ("norm", "layernorm"): "",
    }


def test_the_average_is_the_best_architecture_of_mean_value(make: Callable[..., Path]) -> None:
    """Against all architectures of a space of three gates."""
    paths = [make(seed, limit=700 + 60 * seed) for seed in range(3)]
    gates = factory.gates(SMALL)
    worth = []
    for path in paths:
        rows = json.loads((path / "search" / "measured.json").read_text())["values"]
        relative = [[value - row[0] for value in row] for row in rows]
        spread = np.std([value for row in relative for value in row[1:]])
        worth.append([[value / spread for value in row] for row in relative])

    def total(picked: tuple[int, ...]) -> float:
        return float(np.mean([sum(own[g][i] for g, i in enumerate(picked)) for own in worth]))

    def cost(picked: tuple[int, ...]) -> int:
        return sum(gates[g]["candidates"][i]["num_params"] for g, i in enumerate(picked))

    everything = itertools.product(*(range(len(gate["candidates"])) for gate in gates))
    best = max((picked for picked in everything if cost(picked) <= 700), key=total)
    found = averaged(read(paths))
    assert found.limit == 700
    assert found.num_params == cost(best)
    expected = {
        (gates[g]["site"], gates[g]["candidates"][i]["method"], gates[g]["candidates"][i]["size"])
        for g, i in enumerate(best)
        if i
    }
    assert {(c.site, c.method, c.size) for c in found.active} == expected


def test_everything_is_written(make: Callable[..., Path], tmp_path: Path) -> None:
    paths = [make(seed, factory.Plan()) for seed in range(3)]
    out = tmp_path / "comparison"
    page = compare(paths, out)
    assert Architecture.load(out / "architecture.json").num_params > 0
    text = page.read_text(encoding="utf-8")
    for name in ("overlap", "values", "runs", "shares-by-part"):
        assert (out / "figures" / f"{name}.png").stat().st_size > 1000
        assert (out / "figures" / f"{name}.svg").is_file()
        assert (out / "tables" / f"{name}.csv").is_file()
        assert f"tables/{name}.csv" in text
    again = compare(paths, out).read_text(encoding="utf-8")
    assert again == text


def test_names_are_escaped(make: Callable[..., Path], tmp_path: Path) -> None:
    hostile = factory.hostile(tmp_path / "hostile")
    page = compare([hostile, make(0, factory.Plan())], tmp_path / "out").read_text("utf-8")
    assert "<script>" not in page
    assert "<img src=x" not in page


def test_what_cannot_be_compared_is_refused(make: Callable[..., Path], tmp_path: Path) -> None:
    one = make(0)
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="1 run is not enough"):
        compare([one], out)
    with pytest.raises(ConfigError, match="given twice"):
        compare([one, one / ".." / one.name], out)
    early = factory.unfinished(tmp_path / "early")
    with pytest.raises(ConfigError) as refused:
        compare([one, early, tmp_path / "nothing"], out)
    assert "has found no architecture yet" in refused.value.message
    assert "is not a run directory" in refused.value.message
    assert not out.exists()
    (out / "mine").mkdir(parents=True)
    with pytest.raises(ConfigError, match="holds something else"):
        compare([one, make(1)], out)


def test_labels_tell_runs_apart() -> None:
    assert labels([Path("/a/x"), Path("/a/y")]) == ["x", "y"]
    assert labels([Path("/a/run"), Path("/b/run")]) == ["a/run", "b/run"]
