"""Scores of language models: how likely the right tokens are.

A reference is the number of tokens that a row predicts, a prediction the mean log-likelihood of
one of them, in nats. Rows count by their tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

#: Better the lower they are, so that nothing can be chosen by them: the first metric never is one,
#: but what stands behind it here.
LOWER_IS_BETTER = {
    "perplexity": "log_likelihood",
    "wer": "one_minus_wer",
    "cer": "one_minus_cer",
}


def log_likelihood(references: Sequence[float], predictions: Sequence[float]) -> float:
    """Mean log-likelihood of a token, in nats: at most 0, higher is better."""
    pairs = zip(references, predictions, strict=True)
    return sum(count * mean for count, mean in pairs) / sum(references)


def perplexity(references: Sequence[float], predictions: Sequence[float]) -> float:
    """Exponential of minus the log-likelihood: at least 1, lower is better."""
    mean = -log_likelihood(references, predictions)
    return math.exp(mean) if mean < 700 else math.inf
