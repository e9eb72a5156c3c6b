"""Scores of answers to questions, as SQuAD defines them (Rajpurkar et al. 2016, arXiv:1606.05250).

Answers are compared in lower case without punctuation and English articles; the best over the right
answers counts. Where there is no answer (SQuAD 2, arXiv:1806.03822), only the empty text is right.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

from peftsearch.tasks.answers import Texts

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> list[str]:
    """Return the words that count: lower case, no ASCII punctuation, no articles."""
    bare = text.lower().translate(_PUNCTUATION)
    return _ARTICLES.sub(" ", bare).split()


def squad_f1(references: Sequence[Texts], predictions: Sequence[str]) -> float:
    """Mean over rows of the F1 of the bags of words."""
    return _mean(_overlap, references, predictions)


def squad_exact_match(references: Sequence[Texts], predictions: Sequence[str]) -> float:
    """Fraction of rows whose words are those of a right answer, in order."""
    return _mean(lambda right, said: float(right == said), references, predictions)


def _overlap(right: list[str], said: list[str]) -> float:
    if not right or not said:
        return float(right == said)
    common = (Counter(right) & Counter(said)).total()
    return 2 * common / (len(right) + len(said))


def _mean(
    compare: Callable[[list[str], list[str]], float],
    references: Sequence[Texts],
    predictions: Sequence[str],
) -> float:
    best = [
        max(compare(normalised(text), normalised(said)) for text in right.texts or ("",))
        for right, said in zip(references, predictions, strict=True)
    ]
    return sum(best) / len(best)
