"""Scores of summaries, translations and descriptions, with sacrebleu and rouge-score.

As fractions in [0, 1], where the packages and papers write BLEU and chrF as per cent.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

from peftsearch.tasks.answers import Texts
from peftsearch.tasks.packages import needed


def bleu(references: Sequence[Texts], predictions: Sequence[str]) -> float:
    """Corpus BLEU of sacrebleu: tokenisation 13a, case kept, up to four words.

    Papineni et al. 2002; Post 2018 (arXiv:1804.08771). Rows may have several right texts.
    """
    corpus_bleu = needed("sacrebleu", "sacrebleu").corpus_bleu
    return float(corpus_bleu(list(predictions), _streams(references)).score) / 100


def chrf(references: Sequence[Texts], predictions: Sequence[str]) -> float:
    """Corpus chrF of sacrebleu: F2 of up to six characters (Popović 2015)."""
    corpus_chrf = needed("sacrebleu", "sacrebleu").corpus_chrf
    return float(corpus_chrf(list(predictions), _streams(references)).score) / 100


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


@lru_cache(maxsize=2**14)  # a race scores the same rows in many resamples
def _rouge_of(name: str, right: str, said: str) -> float:
    return float(_scorer(name).score(right, said)[name].fmeasure)


@cache
def _scorer(name: str) -> Any:
    return needed("rouge_score.rouge_scorer", "rouge-score").RougeScorer([name], use_stemmer=True)


def _streams(references: Sequence[Texts]) -> list[list[str | None]]:
    """Return the first right texts of all rows, the second ones, …; ``None`` for none."""
    most = max(1, *(len(row.texts) for row in references))
    padded = [[*row.texts, *[None] * (most - len(row.texts))] for row in references]
    # A row without any right text: the empty one.
    whole = [["", *row[1:]] if row[0] is None else row for row in padded]
    return [list(stream) for stream in zip(*whole, strict=True)]
