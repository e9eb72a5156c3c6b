"""A search that begins with what an earlier one found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from peftsearch import baselines
from peftsearch.bench.build import workspace
from peftsearch.errors import ConfigError
from peftsearch.race import RealTrials
from peftsearch.rundir import read_json
from peftsearch.strategies import base, priced
from tests.pipeline.material import Material, build


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return build(tmp_path_factory.mktemp("warm"))


@pytest.fixture(scope="module")
def earlier(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some architecture within the budget."""
    with workspace(material.config()) as work:
        filled = baselines.random_fill(work.space, work.budget.limit, 4)
        found = work.architecture(baselines.to_choices(work.space, filled))
    path = tmp_path_factory.mktemp("earlier") / "architecture.json"
    found.save(path)
    return path


def _outcome(material: Material, **search: Any) -> tuple[Any, Any]:
    """Return the values and the standings of a search with its race."""
    with workspace(material.config(search=search, trainings=9)) as work:
        priced.search(work)
        verdict = priced.choose(work, RealTrials(work))
        values = read_json(work.session.run.file("search", "measured.json"))["values"]
        names = [(s.contestant.name, s.contestant.architecture) for s in verdict.standings]
        return values, sorted(names, key=lambda pair: pair[0])


@pytest.mark.slow
def test_without_strength_it_is_a_cold_start(material: Material, earlier: Path) -> None:
    cold = _outcome(material)
    assert _outcome(material, warm_start=str(earlier), warm_strength=0.0) == cold
    assert _outcome(material, warm_start=str(earlier)) != cold


def test_with_much_strength_it_proposes_what_it_began_with(
    material: Material, earlier: Path
) -> None:
    config = material.config(
        search={"warm_start": str(earlier), "warm_strength": 50.0}, trainings=9
    )
    with workspace(config) as work:
        gates = priced.first_gates(work)
        chosen = base.candidates_of(work.space, _load(earlier))
        assert chosen is not None
        # Of a gate where something was chosen, that is likeliest; at the others nothing is.
        assert [int(row[: len(g.candidates)].argmax()) for row, g in
                zip(gates.alphas, work.space.gates, strict=True)] == list(chosen)  # fmt: skip
        priced.search(work)
        verdict = priced.choose(work, RealTrials(work))
        names = {s.contestant.name: s.contestant.architecture for s in verdict.standings}
        assert base.candidates_of(work.space, names["gates-1"]) == chosen


def _load(path: Path) -> Any:
    from peftsearch.architecture import Architecture

    return Architecture.load(path)


def test_other_strategies_refuse_it(material: Material, earlier: Path) -> None:
    with pytest.raises(ConfigError, match="for the strategy priced, not for gumbel"):
        material.config(strategy="gumbel", search={"warm_start": str(earlier)})
