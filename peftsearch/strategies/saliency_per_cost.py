"""As ``saliency``, but by importance per parameter."""

from __future__ import annotations

from peftsearch.race import Trials
from peftsearch.strategies import base
from peftsearch.strategies.filling import filled
from peftsearch.strategies.saliency import importance, search
from peftsearch.workspace import Workspace

STRATEGY = {
    "name": "saliency-per-cost",
    "title": "train everything, keep by first-order importance per parameter",
    "reference": "as saliency; the density rule of greedy knapsacks (Dantzig 1957)",
}

__all__ = ["STRATEGY", "choose", "search"]


def choose(work: Workspace, trials: Trials) -> base.Verdict:
    """Keep the candidates that fit, those of most importance per parameter first."""
    values = importance(work)
    density = [
        [value / max(c.num_params, 1) for value, c in zip(row, gate.candidates, strict=True)]
        for row, gate in zip(values, work.space.gates, strict=True)
    ]
    return filled(work, "saliency-per-cost", values, density)
