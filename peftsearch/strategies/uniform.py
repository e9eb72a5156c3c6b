"""The best single method: what most people would do, given a few trainings to choose it."""

from __future__ import annotations

from peftsearch.race import Trials, halving
from peftsearch.strategies.base import Verdict, no_search, shares, uniform_contestants
from peftsearch.workspace import Workspace

STRATEGY = {
    "name": "uniform",
    "title": "the best single method, everywhere, at the largest size that fits",
    "reference": "what HF PEFT and most papers do; the method is chosen by successive halving",
}

search = no_search


def choose(work: Workspace, trials: Trials) -> Verdict:
    """Race one method against the other."""
    return Verdict(halving(trials, uniform_contestants(work, trials), shares(work)))
