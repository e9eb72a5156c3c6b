"""Scores by name, from scikit-learn and SciPy, and those of texts.

Every metric takes references and predictions (label ids, numbers or texts, one a row) and returns a
float: fractions in [0, 1], correlations in [-1, 1]; higher is better, but for those of
:data:`LOWER_IS_BETTER`, by which nothing is chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from peftsearch.errors import ConfigError, DivergedError
from peftsearch.nearest import did_you_mean
from peftsearch.tasks.likelihood_metrics import LOWER_IS_BETTER as LOWER_IS_BETTER
from peftsearch.tasks.likelihood_metrics import log_likelihood, perplexity
from peftsearch.tasks.text_metrics import character_similarity, edit_similarity, exact_match

Answer = float | str
"""A label id or a number; a text of a generation."""
Metric = Callable[[Sequence[float], Sequence[float]], float]
TextMetric = Callable[[Sequence[str], Sequence[str]], float]


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


NUMBER_METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
}
TEXT_METRICS: dict[str, TextMetric] = {
    "edit_similarity": edit_similarity,
    "exact_match": exact_match,
    "character_similarity": character_similarity,
}
#: For the likelihoods of language models.
LIKELIHOOD_METRICS: dict[str, Metric] = {
    "log_likelihood": log_likelihood,
    "perplexity": perplexity,
}
METRICS: dict[str, Metric | TextMetric] = {
    **NUMBER_METRICS,
    **TEXT_METRICS,
    **LIKELIHOOD_METRICS,
}

FITTING = {
    "classification": ("accuracy", "f1", "macro_f1", "matthews"),
    "regression": ("pearson", "spearman"),
    "generation": tuple(TEXT_METRICS),
    "language-modelling": tuple(LIKELIHOOD_METRICS),
    "chat": tuple(LIKELIHOOD_METRICS),
}
"""The metrics of each kind of task."""


def score(
    names: Sequence[str], references: Sequence[Answer], predictions: Sequence[Answer]
) -> dict[str, float]:
    """Compute several metrics.

    Args:
        names: Names of metrics.
        references: What is right, one a row.
        predictions: What the model says, one a row.

    Raises:
        ConfigError: A metric is not known, is not for such answers, or there is no row.
        DivergedError: A prediction is not a finite number.
    """
    if len(references) != len(predictions):
        raise ValueError(f"{len(references)} references, {len(predictions)} predictions")
    if not references:
        raise ConfigError("there is no row to score.")
    if not all(isinstance(p, str) or math.isfinite(p) for p in predictions):
        raise DivergedError("the model predicts numbers that are not finite.")
    return {name: _score(name, references, predictions) for name in names}


def _score(name: str, references: Sequence[Answer], predictions: Sequence[Answer]) -> float:
    if name not in METRICS:
        raise ConfigError(f'metric "{name}" is not known.', did_you_mean(name, METRICS))
    texts = isinstance(references[0], str)
    if texts != (name in TEXT_METRICS):
        fitting = TEXT_METRICS if texts else NUMBER_METRICS
        raise ConfigError(
            f'metric "{name}" is not for {"texts" if texts else "labels or numbers"}.',
            f"Use {', '.join(fitting)}.",
        )
    if texts:
        return TEXT_METRICS[name](list(map(str, references)), list(map(str, predictions)))
    numbers = {**NUMBER_METRICS, **LIKELIHOOD_METRICS}
    return numbers[name](list(map(float, references)), list(map(float, predictions)))


def _ids(values: Sequence[float]) -> list[int]:
    return [round(value) for value in values]
