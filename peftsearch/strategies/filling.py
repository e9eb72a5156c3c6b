"""Sort and fill: the discretisation of the rivals, which keeps the budget but not the optimum."""

from __future__ import annotations

from collections.abc import Sequence

from peftsearch.race import Standing
from peftsearch.space import SearchSpace
from peftsearch.strategies.base import Verdict, contestant
from peftsearch.values import Values
from peftsearch.workspace import Workspace


def filled(work: Workspace, name: str, values: Values, ranks: Values | None = None) -> Verdict:
    """Return the one architecture that sort and fill makes, which needs no race.

    Args:
        work: The run: its space and its budget.
        name: Name of the strategy, and so of the contestant.
        values: Value of each candidate by gate.
        ranks: What to sort by where it is not the values.
    """
    found = sort_and_fill(work.space, values if ranks is None else ranks, work.free)
    return Verdict([Standing(contestant(work, name, found), {})], values)


def sort_and_fill(
    space: SearchSpace, ranks: Sequence[Sequence[float]], limit: int
) -> tuple[int, ...]:
    """Take candidates by falling rank, one a gate, as long as they fit.

    Args:
        space: Gates and costs.
        ranks: For each gate a number for each candidate; that of ``none`` is not used.
        limit: Largest total cost.

    Returns:
        One candidate index per gate; ``none`` where nothing fitted.
    """
    order = sorted(
        ((-rank, g, i) for g, row in enumerate(ranks) for i, rank in enumerate(row)),
    )
    chosen = [0] * len(space.gates)
    left = limit
    for _, g, i in order:
        cost = space.gates[g].candidates[i].num_params
        if chosen[g] == 0 and 0 < cost <= left and space.allows(chosen, g, i):
            chosen[g] = i
            left -= cost
    return tuple(chosen)
