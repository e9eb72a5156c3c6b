"""Scores by name: which there are, for which answers, and how they are called.

Every metric takes references and predictions, one a row, and returns a float: fractions in [0, 1],
correlations in [-1, 1]; higher is better, but for those of :data:`LOWER_IS_BETTER`, by which
nothing is chosen. A model that generates its labels may say something that is no label; that is the
label id -1, which is wrong everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from peftsearch.errors import ConfigError, DivergedError
from peftsearch.nearest import did_you_mean
from peftsearch.tasks.answers import Answer, Grouped, Pair, Tags, Texts
from peftsearch.tasks.generation_metrics import bleu, chrf, rouge1, rouge2, rougel
from peftsearch.tasks.group_metrics import group_exact_match
from peftsearch.tasks.likelihood_metrics import LOWER_IS_BETTER, log_likelihood, perplexity
from peftsearch.tasks.qa_metrics import squad_exact_match, squad_f1
from peftsearch.tasks.retrieval_metrics import RETRIEVAL_METRICS
from peftsearch.tasks.speech_metrics import cer, one_minus_cer, one_minus_wer, wer
from peftsearch.tasks.tag_metrics import entity_f1, tag_f1, word_accuracy
from peftsearch.tasks.text_metrics import (
    best_of,
    character_similarity,
    edit_similarity,
    exact_match,
)

__all__ = [
    "DEFAULTS",
    "FITTING",
    "LOWER_IS_BETTER",
    "METRICS",
    "NUMBER_METRICS",
    "TEXT_METRICS",
    "Answer",
    "score",
]

Metric = Callable[[Sequence[float], Sequence[float]], float]
TextMetric = Callable[[Sequence[str], Sequence[str]], float]


def accuracy(references: Sequence[float], predictions: Sequence[float]) -> float:
    """Fraction of predictions that are right."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(_ids(references), _ids(predictions)))


def f1(references: Sequence[float], predictions: Sequence[float]) -> float:
    """F1 of label 1 among two labels; 0 where label 1 neither occurs nor is predicted."""
    from sklearn.metrics import f1_score

    right, said = _ids(references), _ids(predictions)
    # The mean over one label: "binary" would refuse what is no label.
    return float(f1_score(right, said, labels=[1], average="macro", zero_division=0.0))


def macro_f1(references: Sequence[float], predictions: Sequence[float]) -> float:
    """Mean F1 over the labels that occur or are predicted."""
    from sklearn.metrics import f1_score

    right, said = _ids(references), _ids(predictions)
    labels = sorted({*right, *said} - {-1})
    return float(f1_score(right, said, labels=labels, average="macro", zero_division=0.0))


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


#: For label ids and numbers.
NUMBER_METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
}
#: For texts: the mean over rows of the best over the right texts.
TEXT_METRICS: dict[str, TextMetric] = {
    "edit_similarity": edit_similarity,
    "exact_match": exact_match,
    "character_similarity": character_similarity,
    "rouge1": rouge1,
    "rouge2": rouge2,
    "rougel": rougel,
}
#: For texts too, each of which may be one of several right ones; over all rows at once.
ANSWER_METRICS: dict[str, Callable[[Sequence[Texts], Sequence[str]], float]] = {
    "bleu": bleu,
    "chrf": chrf,
    "squad_f1": squad_f1,
    "squad_exact_match": squad_exact_match,
    "one_minus_wer": one_minus_wer,
    "one_minus_cer": one_minus_cer,
    "wer": wer,
    "cer": cer,
}
TAG_METRICS: dict[str, Callable[[Sequence[Tags], Sequence[Tags]], float]] = {
    "entity_f1": entity_f1,
    "word_accuracy": word_accuracy,
    "tag_f1": tag_f1,
}
GROUP_METRICS: dict[str, Callable[[Sequence[Grouped], Sequence[float]], float]] = {
    "group_exact_match": group_exact_match,
}
#: For the likelihoods of language models.
LIKELIHOOD_METRICS: dict[str, Metric] = {
    "log_likelihood": log_likelihood,
    "perplexity": perplexity,
}
METRICS: dict[str, Callable[..., float]] = {
    **NUMBER_METRICS,
    **TEXT_METRICS,
    **ANSWER_METRICS,
    **TAG_METRICS,
    **GROUP_METRICS,
    **LIKELIHOOD_METRICS,
    **RETRIEVAL_METRICS,
}

_LABELS = ("accuracy", "f1", "macro_f1", "matthews")
_OF_TEXTS = (*TEXT_METRICS, *ANSWER_METRICS)
FITTING: dict[str, tuple[str, ...]] = {
    "classification": (*_LABELS, *GROUP_METRICS),
    "image-classification": _LABELS,
    "regression": ("pearson", "spearman"),
    "generation": _OF_TEXTS,
    "speech-recognition": _OF_TEXTS,
    "choice": ("accuracy", "squad_f1", "squad_exact_match"),
    "tagging": tuple(TAG_METRICS),
    "extraction": ("squad_f1", "squad_exact_match"),
    "language-modelling": tuple(LIKELIHOOD_METRICS),
    "chat": tuple(LIKELIHOOD_METRICS),
    "image-text-retrieval": tuple(RETRIEVAL_METRICS),
}
"""The metrics of each kind of task."""


DEFAULTS: dict[str, tuple[str, ...]] = {
    "classification": ("accuracy",),
    "image-classification": ("accuracy", "macro_f1"),
    "regression": ("pearson", "spearman"),
    "generation": ("edit_similarity", "exact_match"),
    "speech-recognition": ("one_minus_wer", "wer", "cer"),
    "choice": ("accuracy",),
    "tagging": ("entity_f1", "word_accuracy"),
    "extraction": ("squad_f1", "squad_exact_match"),
    "language-modelling": ("log_likelihood", "perplexity"),
    "chat": ("log_likelihood", "perplexity"),
    "image-text-retrieval": tuple(RETRIEVAL_METRICS),
}
"""The metrics of a task that names none."""


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
        MissingError: The package that a metric needs is not installed.
    """
    if len(references) != len(predictions):
        raise ValueError(f"{len(references)} references, {len(predictions)} predictions")
    if not references:
        raise ConfigError("there is no row to score.")
    if not all(math.isfinite(p) for p in predictions if isinstance(p, int | float)):
        raise DivergedError("the model predicts numbers that are not finite.")
    return {name: _score(name, references, predictions) for name in names}


def _score(name: str, references: Sequence[Any], predictions: Sequence[Any]) -> float:
    if name not in METRICS:
        raise ConfigError(f'metric "{name}" is not known.', did_you_mean(name, METRICS))
    what, fitting = _fitting(references)
    # A likelihood is a number as any; that a task has such rows is known by its kind.
    if name not in (*fitting, *(LIKELIHOOD_METRICS if fitting == tuple(NUMBER_METRICS) else ())):
        raise ConfigError(f'metric "{name}" is not for {what}.', f"Use {', '.join(fitting)}.")
    if name in TEXT_METRICS:
        return best_of(TEXT_METRICS[name], _several(references), predictions)
    if name in ANSWER_METRICS:
        return ANSWER_METRICS[name](_several(references), predictions)
    if name in NUMBER_METRICS or name in LIKELIHOOD_METRICS:
        right = [r.value if isinstance(r, Grouped) else float(r) for r in references]
        return METRICS[name](right, list(map(float, predictions)))
    return METRICS[name](references, predictions)


def _fitting(references: Sequence[Answer]) -> tuple[str, tuple[str, ...]]:
    """Return what such references are called, and the metrics for them."""
    first = references[0]
    if isinstance(first, str | Texts):
        return "texts", _OF_TEXTS
    if isinstance(first, tuple):
        return "tags", tuple(TAG_METRICS)
    if isinstance(first, Pair):
        return "pairs", tuple(RETRIEVAL_METRICS)
    if isinstance(first, Grouped):
        return "labels in groups", (*_LABELS, *GROUP_METRICS)
    return "labels or numbers", tuple(NUMBER_METRICS)


def _several(references: Sequence[str | Texts]) -> list[Texts]:
    return [Texts((r,)) if isinstance(r, str) else r for r in references]


def _ids(values: Sequence[float]) -> list[int]:
    return [round(value) for value in values]
