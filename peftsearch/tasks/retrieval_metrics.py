"""Recall of image-text retrieval: how often a right answer is among the first ones.

Predictions are :data:`~peftsearch.tasks.answers.Ranks`, one pair for each row: the rank of the
best right text for its image, and of the best right image for its text. The candidates are all
rows that were scored together. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from peftsearch.tasks.answers import Pair, Ranks

Recall = Callable[[Sequence[Pair], Sequence[Ranks]], float]

_DIRECTIONS = ("image_to_text", "text_to_image")
_PLACES = (1, 5, 10)


def _recall(direction: int, places: int) -> Recall:
    def recall(references: Sequence[Pair], predictions: Sequence[Ranks]) -> float:
        return sum(ranks[direction] <= places for ranks in predictions) / len(predictions)

    return recall


_EACH: dict[str, Recall] = {
    f"{name}_recall_{places}": _recall(direction, places)
    for direction, name in enumerate(_DIRECTIONS)
    for places in _PLACES
}


def mean_recall(references: Sequence[Pair], predictions: Sequence[Ranks]) -> float:
    """Mean of recall at 1, 5 and 10 in both directions."""
    found = [metric(references, predictions) for metric in _EACH.values()]
    return sum(found) / len(found)


#: ``mean_recall``, and ``image_to_text_recall_1`` … ``text_to_image_recall_10``.
RETRIEVAL_METRICS: dict[str, Recall] = {"mean_recall": mean_recall, **_EACH}
