"""Random search with shared weights: a supernet trained on random samples judges random draws."""

from __future__ import annotations

from peftsearch import effort
from peftsearch.race import Standing, Trials
from peftsearch.strategies import base
from peftsearch.values import fit
from peftsearch.workspace import Workspace

STRATEGY = {
    "name": "random-sharing",
    "title": "random architectures scored with the weights of one supernet",
    "reference": "Li and Talwalkar 2019 (arXiv 1902.07638), random search with weight sharing; "
    "samples fill the budget; half of the allowance trains, half of it scores",
}


def search(work: Workspace) -> int:
    """Train the weights on samples near the budget for half of the allowance."""
    return base.train_supernet(work, train_gates=False, allowed=work.config.trainings / 2)


def choose(work: Workspace, trials: Trials) -> base.Verdict:
    """Score random architectures on search-valid and take the best."""
    rows = min(work.config.search.valid_rows, len(work.features.search_valid))
    each = effort.measure_trainings(work.config, 1, rows)
    count = max(1, int(work.config.trainings / 2 / each))
    drawn = base.random_fills(work, count)
    supernet = base.restore_supernet(work)
    try:
        samples = base.measure_all(work, supernet, drawn)
    finally:
        supernet.remove()
    base.write_measured(work, samples)
    best = base.best_measured(samples, 1)[0].candidates
    values = fit(work.space, drawn, [-sample.loss for sample in samples]).values()
    return base.Verdict([Standing(base.contestant(work, "supernet-1", best), {})], values)
