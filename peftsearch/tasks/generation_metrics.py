"""Scores of summaries, translations and descriptions, with sacrebleu and rouge-score.

As fractions in [0, 1], where the packages and papers write BLEU and chrF as per cent. What is
counted in a row is kept: a race scores the same rows in many resamples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from peftsearch.tasks.answers import Texts
from peftsearch.tasks.packages import needed

Counts = npt.NDArray[np.int64]


def bleu(references: Sequence[Texts], predictions: Sequence[str]) -> float:
    """Corpus BLEU of sacrebleu: tokenisation 13a, case kept, up to four words.

    Papineni et al. 2002; Post 2018 (arXiv:1804.08771). Rows may have several right texts.
    """
    total = _summed(_bleu_counts, references, predictions)
    said, right = (int(each) for each in total[:2])
    both, words = total[2:].reshape(2, -1).tolist()
    score = _bleu().compute_bleu(both, words, said, right, smooth_method="exp").score
    return float(score) / 100


def chrf(references: Sequence[Texts], predictions: Sequence[str]) -> float:
    """Corpus chrF: F2 of up to six characters, as in sacrebleu (Popović 2015)."""
    return _f2(_summed(_chrf_counts, references, predictions))


def rouge1(references: Sequence[str], predictions: Sequence[str]) -> float:
    """Mean F1 of words, stemmed (Lin 2004)."""
    return _rouge("rouge1", references, predictions)


def rouge2(references: Sequence[str], predictions: Sequence[str]) -> float:
    """Mean F1 of pairs of words, stemmed."""
    return _rouge("rouge2", references, predictions)


def rougel(references: Sequence[str], predictions: Sequence[str]) -> float:
    """Mean F1 of the longest common subsequence of words, stemmed."""
    return _rouge("rougeL", references, predictions)


def _rouge(name: str, references: Sequence[str], predictions: Sequence[str]) -> float:
    found = [_rouge_of(name, *pair) for pair in zip(references, predictions, strict=True)]
    return sum(found) / len(found)


@lru_cache(maxsize=2**14)
def _rouge_of(name: str, right: str, said: str) -> float:
    return float(_scorer(name).score(right, said)[name].fmeasure)


@cache
def _scorer(name: str) -> Any:
    return needed("rouge_score.rouge_scorer", "rouge-score").RougeScorer([name], use_stemmer=True)


def _summed(
    count: Callable[[tuple[str, ...], str], Counts],
    references: Sequence[Texts],
    predictions: Sequence[str],
) -> Counts:
    """Sum what is counted in each row; where no text is right, the empty one is."""
    pairs = zip(references, predictions, strict=True)
    total: Counts = np.sum([count(right.texts or ("",), said) for right, said in pairs], axis=0)
    return total


def _bleu() -> Any:
    return needed("sacrebleu", "sacrebleu").BLEU(effective_order=True)


@lru_cache(maxsize=2**14)
def _bleu_counts(right: tuple[str, ...], said: str) -> Counts:
    """Return two lengths in words, what agrees of 1 to 4 words, and how many there are: (10,)."""
    found = _bleu().sentence_score(said, right)
    return np.array([found.sys_len, found.ref_len, *found.counts, *found.totals])


@lru_cache(maxsize=2**14)
def _chrf_counts(right: tuple[str, ...], said: str) -> Counts:
    """Return how many of 1 to 6 characters are said, are right, and are both: (6, 3).

    Of several right texts those of the one that scores best.
    """
    mine = _characters(said)
    found = [
        np.array([_agreeing(*pair) for pair in zip(mine, _characters(text), strict=True)])
        for text in right
    ]
    return max(found, key=_f2)


def _agreeing(said: Counter[str], right: Counter[str]) -> tuple[int, int, int]:
    # As in sacrebleu: a right text that is too short for an order does not count against it.
    return said.total() * bool(right), right.total(), (said & right).total()


def _characters(text: str) -> list[Counter[str]]:
    """Count what stands side by side, 1 to 6 characters without blanks."""
    whole = "".join(text.split())
    return [
        Counter(whole[i : i + size] for i in range(len(whole) - size + 1)) for size in range(1, 7)
    ]


def _f2(counts: Counts) -> float:
    """Return F2 of mean precision and mean recall over the orders that both texts have."""
    said, right, both = counts[(counts[:, 0] > 0) & (counts[:, 1] > 0)].T
    if not both.any():
        return 0.0
    precision, recall = float((both / said).mean()), float((both / right).mean())
    return 5 * precision * recall / (4 * precision + recall)
