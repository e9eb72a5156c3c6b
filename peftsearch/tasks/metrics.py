"""Scores by name, from scikit-learn and SciPy.

Every metric takes references and predictions (label ids or numbers, one a row) and returns a
float: fractions in [0, 1], correlations in [-1, 1]; higher is better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from peftsearch.errors import ConfigError, DivergedError
from peftsearch.nearest import did_you_mean

Metric = Callable[[Sequence[float], Sequence[float]], float]


def accuracy(references: Sequence[float], predictions: Sequence[float]) -> float:
    """Fraction of predictions that are right."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(_ids(references), _ids(predictions)))


def f1(references: Sequence[float], predictions: Sequence[float]) -> float:
    """F1 of label 1 among two labels; 0 where label 1 neither occurs nor is predicted."""
    from sklearn.metrics import f1_score

    return float(f1_score(_ids(references), _ids(predictions), zero_division=0.0))


def macro_f1(references: Sequence[float], predictions: Sequence[float]) -> float:
    """Mean F1 over the labels that occur or are predicted."""
    from sklearn.metrics import f1_score

    right, said = _ids(references), _ids(predictions)
    return float(f1_score(right, said, average="macro", zero_division=0.0))


def matthews(references: Sequence[float], predictions: Sequence[float]) -> float:
    """Matthews correlation; 0 where references or predictions are all the same."""
    from sklearn.metrics import matthews_corrcoef

    right, said = _ids(references), _ids(predictions)
    if len(set(right)) < 2 or len(set(said)) < 2:
        return 0.0
    return float(matthews_corrcoef(right, said))


def pearson(references: Sequence[float], predictions: Sequence[float]) -> float:
    """Pearson correlation; 0 where references or predictions are all the same."""
    if len(set(references)) < 2 or len(set(predictions)) < 2:
        return 0.0
    from scipy.stats import pearsonr

    return float(pearsonr(references, predictions).statistic)


def spearman(references: Sequence[float], predictions: Sequence[float]) -> float:
    """Spearman rank correlation; 0 where references or predictions are all the same."""
    if len(set(references)) < 2 or len(set(predictions)) < 2:
        return 0.0
    from scipy.stats import spearmanr

    return float(spearmanr(references, predictions).statistic)


METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
}

CLASSIFICATION = ("accuracy", "f1", "macro_f1", "matthews")
REGRESSION = ("pearson", "spearman")


def score(
    names: Sequence[str], references: Sequence[float], predictions: Sequence[float]
) -> dict[str, float]:
    """Compute several metrics.

    Args:
        names: Names of metrics.
        references: What is right, one a row.
        predictions: What the model says, one a row.

    Raises:
        ConfigError: A metric is not known, or there is no row.
        DivergedError: A prediction is not a finite number.
    """
    if len(references) != len(predictions):
        raise ValueError(f"{len(references)} references, {len(predictions)} predictions")
    if not references:
        raise ConfigError("there is no row to score.")
    if not all(map(math.isfinite, predictions)):
        raise DivergedError("the model predicts numbers that are not finite.")
    for name in names:
        if name not in METRICS:
            raise ConfigError(f'metric "{name}" is not known.', did_you_mean(name, METRICS))
    return {name: METRICS[name](references, predictions) for name in names}


def _ids(values: Sequence[float]) -> list[int]:
    return [round(value) for value in values]
