"""The fixed pattern S4: no search at all.

Layers in four groups, parameters shared out evenly over layers, every group tuned, and different
methods for different groups (Chen et al. 2023).
"""

from __future__ import annotations

from collections.abc import Sequence

from peftsearch.race import Standing, Trials
from peftsearch.space import Gate, SearchSpace
from peftsearch.strategies.base import Verdict, contestant, no_search
from peftsearch.workspace import Workspace

STRATEGY = {
    "name": "design-space",
    "title": "the fixed pattern S4: four groups of layers, a method mix for each; no search",
    "reference": "Chen et al. 2023 (arXiv 2301.01821), pattern S4 for T5-base; theirs also tunes "
    "the grouping, ours takes equal groups and one candidate a gate, the largest that fits "
    "everywhere; a site without any of its group's methods takes its first candidate",
}

#: Methods of each group of layers, from the bottom up; ours of the names of the paper.
GROUPS = (
    ("adapter", "parallel_adapter", "lora"),
    ("adapter", "parallel_adapter", "prefix"),
    ("adapter", "prefix", "bitfit"),
    ("prefix", "bitfit", "lora"),
)

search = no_search


def choose(work: Workspace, trials: Trials) -> Verdict:
    """Return the pattern."""
    found = pattern(work.space, work.free)
    return Verdict([Standing(contestant(work, "design-space", found), {})])


def pattern(space: SearchSpace, limit: int) -> list[int]:
    """Return the candidate index of each gate, at the largest common share of the budget.

    Every gate gets a candidate of its group of at most an even share of what is left; what a
    cheap one leaves is shared among the gates after it.
    """
    places = [(gate.site.stack, gate.site.layer) for gate in space.gates]  # as they are run
    layers = list(dict.fromkeys(places))
    left, chosen = limit, list[int]()
    for place, gate in enumerate(space.gates):
        layer = layers.index(places[place])
        methods = GROUPS[layer * len(GROUPS) // len(layers)]
        share = left / (len(space.gates) - place)
        rest = [0] * (len(space.gates) - place)
        fitting = [
            i
            for i, c in enumerate(gate.candidates)
            if 0 < c.num_params <= share and space.allows([*chosen, *rest], place, i)
        ]
        chosen.append(_take(gate, methods, fitting))
        left -= gate.candidates[chosen[-1]].num_params
    return chosen


def _take(gate: Gate, methods: tuple[str, ...], fitting: Sequence[int]) -> int:
    wanted = [i for i in fitting if gate.candidates[i].method in methods]
    order = [methods.index(gate.candidates[i].method) for i in wanted]
    if wanted:  # the group's first method that is there, as large as fits
        best = [i for i, o in zip(wanted, order, strict=True) if o == min(order)]
        return max(best, key=lambda i: gate.candidates[i].num_params)
    return max(fitting, key=lambda i: gate.candidates[i].num_params, default=0)
