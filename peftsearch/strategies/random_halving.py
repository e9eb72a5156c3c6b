"""Random search with real trainings: random architectures in a race by successive halving.

The rival that most searches fail to beat at equal cost (Li and Talwalkar 2019).
"""

from __future__ import annotations

from peftsearch import effort
from peftsearch.race import Trials, halving
from peftsearch.strategies.base import Verdict, allowance, no_search, random_contestants, shares
from peftsearch.workspace import Workspace

STRATEGY = {
    "name": "random",
    "title": "random architectures that fill the budget, in a race of real trainings",
    "reference": "Li and Talwalkar 2019 (arXiv 1902.07638), with successive halving in place of "
    "asynchronous ASHA; every draw fills the budget",
}

search = no_search


def choose(work: Workspace, trials: Trials) -> Verdict:
    """Race as many as the allowance affords."""
    count, rungs = effort.field(allowance(work), shares(work), trials.scoring)
    return Verdict(halving(trials, random_contestants(work, count), rungs))
