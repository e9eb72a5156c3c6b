"""On which scale scores are shown."""

from __future__ import annotations

from peftsearch.shown import PERCENT_METRICS, figure, gap
from peftsearch.tasks import METRICS

#: Not shares of anything.
OTHERS = {"matthews", "pearson", "spearman", "log_likelihood", "perplexity"}


def test_every_metric_is_a_share_or_is_named_here() -> None:
    assert set(METRICS) - OTHERS == PERCENT_METRICS


def test_points_and_units_of_their_own() -> None:
    assert figure(0.7123, "accuracy") == "71.2"
    assert gap(0.0123, "bleu", "+") == "+1.2 points"
    assert gap(-0.0312, "log_likelihood", "+") == "-0.031"
