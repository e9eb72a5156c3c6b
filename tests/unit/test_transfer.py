"""What an earlier run says of the candidates of another search."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from peftsearch.architecture import Architecture, Choice
from peftsearch.errors import ConfigError
from peftsearch.rundir import write_json
from peftsearch.site import Site
from peftsearch.space import EMPTY, Candidate, Gate, SearchSpace
from peftsearch.transfer import opinion
from peftsearch.values import Values


def _space(*sizes: int, layers: int = 2) -> SearchSpace:
    candidates = [Candidate("lora", size, ("q", "v"), 10 * size) for size in sizes]
    gates = [
        Gate(Site("encoder", n, "attention", ("q", "k", "v")), (EMPTY, *candidates))
        for n in range(layers)
    ]
    return SearchSpace("some", "", "one", tuple(gates))


def _run(folder: Path, space: SearchSpace, values: Values | None) -> Path:
    write_json(folder / "space.json", space.to_json())
    write_json(folder / "search/measured.json", {"values": values} if values else {})
    chosen = (Choice("encoder.01.attention", "lora", 4, ("q", "v"), 40),)
    Architecture("m", "t", 1000, "5%", 50, chosen).save(folder / "architecture.json")
    return folder


def _deviation(found: Values) -> float:
    return float(np.sqrt(sum(np.var(row) for row in found)))


def test_values_of_a_run_are_relative_to_nothing_and_scaled(tmp_path: Path) -> None:
    run = _run(tmp_path, _space(2, 4), [[0.5, 1.5, 2.5], [1.0, 0.0, 1.0]])
    found = opinion(run, _space(2, 4))
    assert _deviation(found) == pytest.approx(1.0)
    relative = np.array([[0.0, 1.0, 2.0], [0.0, -1.0, 0.0]])
    assert np.array(found) == pytest.approx(relative / _deviation(relative.tolist()))


def test_another_size_takes_half_of_the_nearest_for_each_doubling(tmp_path: Path) -> None:
    run = _run(tmp_path, _space(2, 4), [[0.0, 1.0, 2.0], [0.0, 0.0, 0.0]])
    first, _ = opinion(run, _space(1, 2, 16))
    assert first[1] == pytest.approx(first[2] / 2)
    assert first[3] == pytest.approx(2 * first[2] / 4)


def test_an_architecture_is_worth_its_choices(tmp_path: Path) -> None:
    run = _run(tmp_path, _space(2, 4), None)
    for source in (run, run / "architecture.json"):  # a run without values has only that
        first, second = opinion(source, _space(4))
        assert first == [0.0, 0.0]
        assert second[0] == 0.0 < second[1]


def test_what_says_nothing_is_refused(tmp_path: Path) -> None:
    run = _run(tmp_path / "run", _space(2, 4), [[0.0, 1.0, 2.0]] * 2)
    gates = [replace(gate, site=replace(gate.site, layer=7)) for gate in _space(2).gates]
    with pytest.raises(ConfigError, match="says nothing about the candidates"):
        opinion(run, replace(_space(2), gates=tuple(gates)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="is not a run directory"):
        opinion(tmp_path / "empty", _space(2))
    with pytest.raises(ConfigError, match="does not exist"):
        opinion(tmp_path / "nothing", _space(2))
