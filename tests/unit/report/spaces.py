"""The synthetic space as tables, and architectures drawn from it by other means than ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pandas as pd

from peftsearch.baselines import random_fill
from peftsearch.discretise import solve
from peftsearch.report.patterns import Chance, by_chance, patterns
from peftsearch.space import SearchSpace

from . import plan

PLAN = plan.Plan(stacks=(("encoder", 6), ("decoder", 6)))
LIMIT = 9000


@cache
def space() -> SearchSpace:
    """The space as the rest of the program sees it."""
    content = {"name": "default", "description": "", "combine": "one"}
    return SearchSpace.from_json({**content, "gates": plan.gates(PLAN)})


@cache
def candidates() -> pd.DataFrame:
    """The same as a table of the report."""
    rows = [
        {
            "gate": number,
            **{key: gate[key] for key in ("site", "stack", "layer", "part")},
            **candidate,
            "modules": ", ".join(candidate["modules"]),
        }
        for number, gate in enumerate(plan.gates(PLAN))
        for candidate in gate["candidates"]
    ]
    return pd.DataFrame(rows)


@cache
def sites() -> pd.DataFrame:
    """Every site."""
    return candidates()[["site", "stack", "layer", "part"]].drop_duplicates("site")


@cache
def by_luck() -> Chance:
    """What chance gives in this space."""
    return by_chance(candidates(), sites(), LIMIT)


def filled(seed: int) -> list[int]:
    """A budget filled at random, by the function that makes the random baselines."""
    return random_fill(space(), LIMIT, seed)


def best_of_random(seed: int, bonus: Callable[[str, int, str], float] | None = None) -> list[int]:
    """The exact knapsack over random values, and a bonus at a place for each 300 parameters."""
    rng = np.random.default_rng(seed)
    values = []
    for gate in space().gates:
        drawn = rng.standard_normal(len(gate.candidates))
        if bonus is not None:
            costs = np.array([candidate.num_params for candidate in gate.candidates])
            drawn += bonus(gate.site.stack, gate.site.layer, gate.site.part) * costs / 300
        values.append([0.0, *drawn[1:]])
    return solve(space(), values, LIMIT)


def searches(assignments: Sequence[Sequence[int]]) -> pd.DataFrame:
    """Assignments as the table of search seeds."""
    starts = candidates().groupby("gate").size().cumsum().shift(fill_value=0).to_numpy()
    parts = [
        candidates().iloc[starts + np.array(assignment)].assign(search=seed)
        for seed, assignment in enumerate(assignments)
    ]
    return pd.concat(parts, ignore_index=True)


def ask(assignments: Sequence[Sequence[int]], prices: Sequence[float] = ()) -> pd.DataFrame:
    """Ask everything of some assignments."""
    compared = by_luck() if len(assignments) > 1 else None
    return patterns(searches(assignments), candidates(), sites(), compared, prices)
