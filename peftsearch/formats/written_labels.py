"""What a text that a model has written says of a label, in ``scoring: generation``.

What is no label word is the label id -1, which is wrong everywhere; of a regression it is the
number -1, as in T5, and a number that is no label word counts as it is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NO_LABEL = -1.0


class WrittenLabels:
    """Label ids, or numbers, by the text that stands for them.

    Args:
        tokenizer: Tokenizer that wrote the targets: it may add blanks or lower the case.
        targets: Token ids of every label word.
        numbers: The number of each in a regression; else empty.
    """

    def __init__(
        self, tokenizer: Any, targets: Sequence[Sequence[int]], numbers: Sequence[float]
    ) -> None:
        texts = tokenizer.batch_decode(targets, skip_special_tokens=True)
        self._numbers = bool(numbers)
        values = numbers or range(len(targets))
        self._values = {t.strip(): float(v) for t, v in zip(texts, values, strict=True)}

    def value(self, text: str) -> float:
        """Return the label id, or the number, of a text without outer blanks."""
        if text in self._values or not self._numbers:
            return self._values.get(text, NO_LABEL)
        try:
            return float(text)
        except ValueError:
            return NO_LABEL
