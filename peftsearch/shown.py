"""On which scale a metric is read: per cent and points, or as it is. Torch-free.

Place in the flow: below the summary and the report, which both show scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DIRECTIONS = (("image", "text"), ("text", "image"))
#: Metrics that are shares of something, read in per cent; correlations stay between -1 and 1, and
#: likelihoods are in nats.
PERCENT_METRICS = frozenset(
    {
        "accuracy",
        "f1",
        "macro_f1",
        "exact_match",
        "edit_similarity",
        "character_similarity",
        "bleu",
        "chrf",
        "rouge1",
        "rouge2",
        "rougel",
        "squad_f1",
        "squad_exact_match",
        "entity_f1",
        "word_accuracy",
        "tag_f1",
        "group_exact_match",
        "one_minus_wer",
        "one_minus_cer",
        "wer",
        "cer",
        "mean_recall",
        *(f"{a}_to_{b}_recall_{n}" for a, b in _DIRECTIONS for n in (1, 5, 10)),
    }
)


def figure(number: float, metric: str, sign: str = "") -> str:
    """Return a number on the scale a metric is shown in, without a unit.

    Args:
        number: A score, a difference of scores, or a deviation.
        metric: Name of the metric.
        sign: ``"+"`` for a sign always.
    """
    return f"{100 * number:{sign}.1f}" if metric in PERCENT_METRICS else f"{number:{sign}.3f}"


def score(number: float, metric: str) -> str:
    """Return a score: ``71.2 %`` for accuracy and the like, ``0.712`` for correlations."""
    return figure(number, metric) + (" %" if metric in PERCENT_METRICS else "")


def spread(mean: float, sd: float | None, metric: str) -> str:
    """Return ``71.2 % ± 1.0``; without ``±`` where there is no standard deviation."""
    return score(mean, metric) + ("" if sd is None else f" ± {figure(sd, metric)}")


def entry(scores: Mapping[str, Any], metric: str) -> str:
    """Return an entry of ``summary.json``: ``71.2 % ± 1.0 (n = 3)``."""
    return f"{spread(scores['mean'], scores.get('sd'), metric)} (n = {scores['n']})"


def gap(number: float, metric: str, sign: str = "") -> str:
    """Return a difference of scores for humans: ``+1.2 points``, or ``+0.031`` of its own unit."""
    return figure(number, metric, sign) + (" points" if metric in PERCENT_METRICS else "")
