"""Several texts to choose from, each scored by one logit of a head, for encoders.

The head is that of a regression: one output. Each choice is read together with the columns of the
task, and the logits of a row's choices go through one softmax (Devlin et al. 2019, section 4.4).
Rows may have different numbers of choices, and several right ones, as the entities of ReCoRD.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from peftsearch.formats.base import Feature, input_limit
from peftsearch.formats.encoding import encode, fills, pad
from peftsearch.tasks.base import Task
from peftsearch.tasks.rows import Row


@dataclass(frozen=True)
class ChoiceFeature(Feature):
    """One tokenised row with several choices.

    Attributes:
        parts: Token lists of each choice; ``inputs`` are those of the longest.
        right: Whether each choice is right.
        number: Number of the row in the format's list of choices.
    """

    parts: tuple[dict[str, list[int]], ...]
    right: tuple[bool, ...]
    number: int


class MultipleChoice:
    """The form of a choice for ``AutoModelForSequenceClassification`` with one output.

    Args:
        task: The task.
        tokenizer: Tokenizer of the model.
        config: Configuration of the model.
    """

    num_labels = 1

    def __init__(self, task: Task, tokenizer: Any, config: Any) -> None:
        self.task = task
        self.truncated = 0
        self.max_length = min(task.max_length, input_limit(tokenizer, config))
        self._tokenizer = tokenizer
        self._fill = fills(tokenizer, config)
        self._options: list[list[str]] = []

    def features(self, rows: Sequence[Row]) -> list[ChoiceFeature]:
        """Tokenise every choice of every row in one call; a row counts as cut once."""
        options = [self.task.options(row) for row in rows]
        texts = [self._texts(row, o) for row, each in zip(rows, options, strict=True) for o in each]
        inputs, long = encode(self._tokenizer, texts, self.max_length)
        cut, found, start = set(long), [], 0
        for row, each in zip(rows, options, strict=True):
            places = range(start, start + len(each))
            start += len(each)
            self.truncated += any(i in cut for i in places)
            label = row[self.task.label_column]
            right = tuple(
                option in label if isinstance(label, list) else i == label
                for i, option in enumerate(each)
            )
            parts = tuple(inputs[i] for i in places)
            longest = max(parts, key=lambda part: len(part["input_ids"]))
            self._options.append(each)
            found.append(
                ChoiceFeature(
                    longest,
                    right.index(True),
                    self.task.reference(row),
                    parts,
                    right,
                    len(self._options) - 1,
                )
            )
        return found

    def _texts(self, row: Row, option: str) -> tuple[str, str]:
        columns = [row[column] for column in self.task.columns]
        if not self.task.placeholder:
            return " ".join(columns), option
        filled = [text.replace(self.task.placeholder, option) for text in columns]
        return filled[0], " ".join(filled[1:]) or option

    def terms(self, features: Sequence[Any]) -> int:
        """The rows."""
        return len(features)

    def collate(self, features: Sequence[Any]) -> dict[str, Tensor]:
        """Return the tokenizer's tensors (choices, longest) and what joins choices to rows.

        ``owners`` (choices,) numbers the row of each, ``choice_right`` (choices,) says
        whether it is right, ``row_numbers`` (rows,) finds the texts again.
        """
        batch = pad([part for feature in features for part in feature.parts], self._fill)
        rows = [i for i, feature in enumerate(features) for _ in feature.parts]
        return {
            **batch,
            "owners": torch.tensor(rows),
            "choice_right": torch.tensor([r for feature in features for r in feature.right]),
            "row_numbers": torch.tensor([feature.number for feature in features]),
        }

    def loss(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Mean of -log of the probability that a right choice is taken, in float32."""
        return self._loss_of(self._logits(model, batch), batch)

    def _loss_of(self, logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
        table = self._by_row(logits, batch)
        right = self._by_row(logits.masked_fill(~batch["choice_right"], -torch.inf), batch)
        return (table.logsumexp(1) - right.logsumexp(1)).mean()

    def _by_row(self, logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Put logits (choices,) into a table (rows, most choices), -inf where there is none."""
        rows = batch["owners"]
        first = torch.searchsorted(rows, rows)  # the first choice of the same row
        places = torch.arange(len(rows), device=rows.device) - first
        size = (len(batch["row_numbers"]), int(places.max()) + 1)
        return logits.new_full(size, -torch.inf).index_put((rows, places), logits)

    @torch.no_grad()
    def predict(self, model: Any, batch: dict[str, Tensor]) -> list[Any]:
        """The number of the best choice; its text where the right ones are given as texts."""
        return self._answers(self._logits(model, batch), batch)

    @torch.no_grad()
    def assess(self, model: Any, batch: dict[str, Tensor]) -> tuple[list[Any], float]:
        """Predictions and mean loss, from one pass."""
        logits = self._logits(model, batch)
        return self._answers(logits, batch), float(self._loss_of(logits, batch))

    def _answers(self, logits: Tensor, batch: dict[str, Tensor]) -> list[Any]:
        # Not a number: the row's best is not one either, and the score says so.
        best, places = self._by_row(logits, batch).max(1)
        if not bool(best.isfinite().all()):
            return [float("nan")] * len(best)
        found: list[int] = places.tolist()
        if len(self.task.choices) > 1:
            return [float(place) for place in found]
        numbers: list[int] = batch["row_numbers"].tolist()
        return [self._options[n][place] for n, place in zip(numbers, found, strict=True)]

    def _logits(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        own = ("owners", "choice_right", "row_numbers")
        inputs = {name: tensor for name, tensor in batch.items() if name not in own}
        logits: Tensor = model(**inputs).logits.float().squeeze(-1)
        return logits
