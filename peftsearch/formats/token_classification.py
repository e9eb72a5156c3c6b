"""Words in, one tag a word out of a head, for encoders.

The tag of a word is read at its first token (Devlin et al. 2019, section 5.3). Words beyond the
longest input have no prediction and score as wrong; rows that lose some are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from peftsearch.formats.base import Feature, input_limit, padded
from peftsearch.formats.encoding import fills, pad, require_offsets
from peftsearch.tasks.answers import Tags
from peftsearch.tasks.base import Task
from peftsearch.tasks.rows import Row

_NONE = -100


class TokenClassification:
    """The form of a task for ``AutoModelForTokenClassification``.

    Args:
        task: The task.
        tokenizer: Tokenizer of the model.
        config: Configuration of the model.

    Raises:
        ConfigError: The tokenizer does not say where a token stands.
    """

    def __init__(self, task: Task, tokenizer: Any, config: Any) -> None:
        require_offsets(task, tokenizer)
        self.task = task
        self.truncated = 0
        self.max_length = min(task.max_length, input_limit(tokenizer, config))
        self.num_labels = len(task.labels)
        self._tokenizer = tokenizer
        self._fill = fills(tokenizer, config)

    def features(self, rows: Sequence[Row]) -> list[Feature]:
        """Tokenise rows in one call.

        ``inputs["word_tokens"]`` has the place of each word's first token.
        """
        if not rows:
            return []
        words = [row[self.task.columns[0]] for row in rows]
        encoded = self._tokenizer(
            [" ".join(each) for each in words],
            truncation=True,
            max_length=self.max_length,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        offsets, special = encoded.pop("offset_mapping"), encoded.pop("special_tokens_mask")
        found = []
        for i, row in enumerate(rows):
            kept = [span for span, mask in zip(offsets[i], special[i], strict=True) if not mask]
            first = special[i].index(0) if kept else 0
            places = [first + place for place in first_tokens(words[i], kept)]
            self.truncated += len(places) < len(words[i])
            inputs = {name: list(encoded[name][i]) for name in encoded}
            target = row[self.task.label_column][: len(places)]
            inputs["word_tokens"] = places
            found.append(Feature(inputs, target, self.task.reference(row)))
        return found

    def terms(self, features: Sequence[Feature]) -> int:
        """The words."""
        return sum(len(each.target) for each in features if isinstance(each.target, list))

    def collate(self, features: Sequence[Feature]) -> dict[str, Tensor]:
        """Return the tokenizer's tensors (batch, longest), and by word (batch, most words).

        ``word_tokens`` has the place of each word's first token, ``word_labels`` its tag; -100
        where a row has no more words.
        """
        inputs = [{k: v for k, v in f.inputs.items() if k != "word_tokens"} for f in features]
        targets = [f.target if isinstance(f.target, list) else [] for f in features]
        return {
            **pad(inputs, self._fill),
            "word_tokens": padded([f.inputs["word_tokens"] for f in features], 0),
            "word_labels": padded(targets, _NONE),
        }

    def loss(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Mean cross-entropy over the words of the batch, in float32."""
        return self._loss_of(self.scores(model, batch), batch["word_labels"])

    def _loss_of(self, scores: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(scores.flatten(0, 1), labels.flatten(), ignore_index=_NONE)

    def scores(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Logits of every word, (batch, words, labels), in float32."""
        own = ("word_tokens", "word_labels")
        inputs = {name: tensor for name, tensor in batch.items() if name not in own}
        logits: Tensor = model(**inputs).logits.float()
        places = batch["word_tokens"].unsqueeze(-1).expand(-1, -1, logits.shape[-1])
        return logits.gather(1, places)

    @torch.no_grad()
    def predict(self, model: Any, batch: dict[str, Tensor]) -> list[Tags]:
        """The tags of the words of every row."""
        return self._answers(self.scores(model, batch), batch["word_labels"])

    @torch.no_grad()
    def assess(self, model: Any, batch: dict[str, Tensor]) -> tuple[list[Tags], float]:
        """Predictions and mean loss, from one pass."""
        scores = self.scores(model, batch)
        labels = batch["word_labels"]
        return self._answers(scores, labels), float(self._loss_of(scores, labels))

    def _answers(self, scores: Tensor, labels: Tensor) -> list[Tags]:
        counts: list[int] = (labels != _NONE).sum(1).tolist()
        best: list[list[int]] = scores.argmax(-1).tolist()
        return [
            tuple(self.task.labels[i] for i in row[:count])
            for row, count in zip(best, counts, strict=True)
        ]


def first_tokens(words: Sequence[str], offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Return the place of the first token of each word of a text of words joined by blanks.

    A word without a token of its own, as a character that the tokenizer drops, takes that of the
    word before it. Words behind the last token are left out.

    Args:
        words: The words.
        offsets: First character of each token, and the one behind its last.
    """
    found: list[int] = []
    start, token = 0, 0
    # The last character decides: some tokenizers count the blank before a word as its own.
    ends = [end - 1 for begin, end in offsets if end > begin]
    places = [i for i, (begin, end) in enumerate(offsets) if end > begin]
    for word in words:
        while token < len(ends) and ends[token] < start:
            token += 1
        if token == len(ends):
            break
        inside = ends[token] < start + len(word)
        found.append(places[token] if inside else found[-1] if found else 0)
        start += len(word) + 1
    return found
