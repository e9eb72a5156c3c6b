"""What an earlier run, or an architecture, says of the candidates of a search. Torch-free.

Place in the flow: an earlier run's files -> **transfer** -> where gates begin, and what the value
model holds to be likely before it has measured anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from peftsearch.architecture import NONE, Architecture
from peftsearch.errors import ConfigError
from peftsearch.rundir import read_json
from peftsearch.space import Candidate, Gate, SearchSpace
from peftsearch.values import Values, scaled

MEASURED, SPACE, FOUND = "search/measured.json", "space.json", "architecture.json"


def opinion(path: Path, space: SearchSpace) -> Values:
    """Return how an earlier search or architecture values the candidates of a space.

    Of a run, the values of its candidates relative to choosing nothing, where its strategy had
    any; else, and of an ``architecture.json``, 1 for what was chosen. A candidate is known again
    by site, method and modules, and by its size or, where that was not offered, by the nearest,
    at half for each doubling between the two. One that was not offered at all is worth nothing.

    Args:
        path: A run directory or an ``architecture.json``.
        space: The space of the new search.

    Returns:
        A value for each candidate, by gate, scaled so that architectures drawn at random have
        deviation 1; ``none`` is worth 0.

    Raises:
        ConfigError: The path is neither, or has nothing to say about any site of the space.
    """
    known = _of_run(path) if path.is_dir() else _of_architecture(path)
    values = [[_value(known, gate, candidate) for candidate in gate.candidates]
              for gate in space.gates]  # fmt: skip
    if not any(value for row in values for value in row):
        raise ConfigError(
            f"{path} says nothing about the candidates of this search.",
            "Take a run of a model of the same shape with a like search space.",
        )
    flat = iter(scaled(values).tolist())
    return [[float(next(flat)) for _ in row] for row in values]


#: Value by (site, method, modules), and there by size.
Known = Mapping[tuple[str, str, tuple[str, ...]], Mapping[int, float]]


def _value(known: Known, gate: Gate, candidate: Candidate) -> float:
    if candidate.method == NONE:
        return 0.0
    sizes = known.get((gate.site.id, candidate.method, candidate.modules), {})
    nearest = min(sizes, key=lambda size: (abs(size - candidate.size), size), default=None)
    if nearest is None:
        return 0.0
    return sizes[nearest] / 2 ** abs(math.log2(candidate.size / nearest))


def _of_run(path: Path) -> Known:
    if not (path / SPACE).is_file():
        raise ConfigError(f"{path} is not a run directory.", "Give one that has been searched.")
    measured = read_json(path / MEASURED) if (path / MEASURED).is_file() else {}
    if not measured.get("values"):
        return _of_architecture(path / FOUND)
    space = SearchSpace.from_json(read_json(path / SPACE))
    found: dict[tuple[str, str, tuple[str, ...]], dict[int, float]] = {}
    for gate, row in zip(space.gates, measured["values"], strict=True):
        for candidate, value in zip(gate.candidates, row, strict=True):
            key = (gate.site.id, candidate.method, candidate.modules)
            found.setdefault(key, {})[candidate.size] = value - row[0]
    return found


def _of_architecture(path: Path) -> Known:
    """What was chosen is worth 1; nothing is known of anything else."""
    chosen = Architecture.load(path).active
    return {(c.site, c.method, c.modules): {c.size: 1.0} for c in chosen}
