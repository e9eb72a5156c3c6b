"""On which scale scores are shown."""

from __future__ import annotations

from peftsearch.shown import PERCENT_METRICS, entry, figure, gap
from peftsearch.tasks import METRICS

#: Not shares of anything.
OTHERS = {"matthews", "pearson", "spearman", "log_likelihood", "perplexity"}


def test_every_metric_is_a_share_or_is_named_here() -> None:
    assert set(METRICS) - OTHERS == PERCENT_METRICS


def test_points_and_units_of_their_own() -> None:
    assert figure(0.7123, "accuracy") == "71.2"
    assert gap(0.0123, "bleu", "+") == "+1.2 points"
    assert gap(-0.0312, "log_likelihood", "+") == "-0.031"


def test_an_entry_of_a_summary() -> None:
    alone, several = {"mean": 0.5, "sd": None, "n": 1}, {"mean": 0.7804, "sd": 0.0349, "n": 3}
    assert entry(alone, "accuracy") == "50.0 % (n = 1)"
    assert entry(several, "accuracy") == "78.0 % ± 3.5 (n = 3)"
    assert entry(several, "matthews") == "0.780 ± 0.035 (n = 3)"
