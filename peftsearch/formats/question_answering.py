"""Question and text in, begin and end of the answer out of a head, for encoders.

A text that is too long is read in windows that overlap (Devlin et al. 2019, section 4.2): nothing
of it is lost. Training asks each window for the answer, and one without it for its first token;
that token's score against the best span's decides whether there is an answer at all (SQuAD 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from peftsearch.formats.base import Feature, input_limit
from peftsearch.formats.encoding import fills, pad, require_offsets
from peftsearch.tasks.base import Task
from peftsearch.tasks.rows import Row

_OWN = ("offsets", "owners", "row_numbers", "starts", "ends")


@dataclass(frozen=True)
class Window:
    """One window of a row.

    Attributes:
        inputs: Token lists by the name of the model's argument.
        offsets: First character and the one behind the last of each token of the text; (-1, -1)
            for all others.
        span: Places of the first and the last token of the answer; of the first token of the
            window where the answer is not in it.
    """

    inputs: dict[str, list[int]]
    offsets: list[tuple[int, int]]
    span: tuple[int, int]


@dataclass(frozen=True)
class AnswerFeature(Feature):
    """One row, cut into windows; ``inputs`` are those of the first, the longest.

    Attributes:
        windows: Its windows.
        number: Number of its text in the format's list.
    """

    windows: tuple[Window, ...]
    number: int


class QuestionAnswering:
    """The form of a task for ``AutoModelForQuestionAnswering``.

    Args:
        task: The task; its columns are question and text.
        tokenizer: Tokenizer of the model.
        config: Configuration of the model.

    Raises:
        ConfigError: The tokenizer does not say where a token stands.
    """

    num_labels = 2

    def __init__(self, task: Task, tokenizer: Any, config: Any) -> None:
        require_offsets(task, tokenizer)
        self.task = task
        self.truncated = 0
        self.max_length = min(task.max_length, input_limit(tokenizer, config))
        self._tokenizer = tokenizer
        self._fill = fills(tokenizer, config)
        self._texts: list[str] = []

    def features(self, rows: Sequence[Row]) -> list[AnswerFeature]:
        """Cut rows into windows; only questions longer than half of the input lose words."""
        return [self._feature(row) for row in rows]

    def _feature(self, row: Row) -> AnswerFeature:
        question, text = (row[column] for column in self.task.columns)
        question = self._short(question)
        special = self._tokenizer.num_special_tokens_to_add(pair=True)
        asked = len(self._tokenizer(question, add_special_tokens=False, verbose=False)["input_ids"])
        room = self.max_length - special - asked
        encoded = self._tokenizer(
            question,
            text,
            truncation="only_second",
            max_length=self.max_length,
            stride=min(self.task.stride, max(0, room // 2)),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        label = row[self.task.label_column]
        answer = None
        if label["text"]:
            begin = label["answer_start"][0]
            answer = (begin, begin + len(label["text"][0]))
        names = [n for n in encoded if n not in ("offset_mapping", "overflow_to_sample_mapping")]
        windows = []
        for i in range(len(encoded["input_ids"])):
            kinds = encoded.sequence_ids(i)
            spans = [
                tuple(span) if kind == 1 and span[1] > span[0] else (-1, -1)
                for span, kind in zip(encoded["offset_mapping"][i], kinds, strict=True)
            ]
            inputs = {name: list(encoded[name][i]) for name in names}
            windows.append(Window(inputs, spans, span_of(answer, spans)))
        self._texts.append(text)
        return AnswerFeature(
            windows[0].inputs,
            0,
            self.task.reference(row),
            tuple(windows),
            len(self._texts) - 1,
        )

    def _short(self, question: str) -> str:
        """Cut a question to half of the input, so that there is room for the text."""
        most = self.max_length // 2
        encoded = self._tokenizer(
            question, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        if len(encoded["input_ids"]) <= most:
            return question
        self.truncated += 1
        return question[: encoded["offset_mapping"][most - 1][1]]

    def terms(self, features: Sequence[Any]) -> int:
        """The windows."""
        return sum(len(each.windows) for each in features)

    def collate(self, features: Sequence[Any]) -> dict[str, Tensor]:
        """Return the tokenizer's tensors (windows, longest), and what joins windows to rows.

        ``offsets`` (windows, longest, 2) as in :class:`Window`, ``owners`` (windows,) the row
        of each, ``starts`` and ``ends`` (windows,) the answer, ``row_numbers`` (rows,) the texts.
        """
        windows = [window for feature in features for window in feature.windows]
        longest = max(len(window.offsets) for window in windows)
        offsets = [[*w.offsets, *[(-1, -1)] * (longest - len(w.offsets))] for w in windows]
        return {
            **pad([window.inputs for window in windows], self._fill),
            "offsets": torch.tensor(offsets),
            "owners": torch.tensor([i for i, f in enumerate(features) for _ in f.windows]),
            "starts": torch.tensor([window.span[0] for window in windows]),
            "ends": torch.tensor([window.span[1] for window in windows]),
            "row_numbers": torch.tensor([feature.number for feature in features]),
        }

    def loss(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Mean cross-entropy of begin and end over the windows, in float32."""
        return self._loss_of(*self._logits(model, batch), batch)

    def _loss_of(self, begins: Tensor, ends: Tensor, batch: dict[str, Tensor]) -> Tensor:
        first = functional.cross_entropy(begins, batch["starts"])
        return (first + functional.cross_entropy(ends, batch["ends"])) / 2

    @torch.no_grad()
    def predict(self, model: Any, batch: dict[str, Tensor]) -> list[str]:
        """The answer of each row, as it stands in the text; empty where there is none."""
        return self._answers(*self._logits(model, batch), batch)

    @torch.no_grad()
    def assess(self, model: Any, batch: dict[str, Tensor]) -> tuple[list[str], float]:
        """Predictions and mean loss, from one pass."""
        begins, ends = self._logits(model, batch)
        return self._answers(begins, ends, batch), float(self._loss_of(begins, ends, batch))

    def _answers(self, begins: Tensor, ends: Tensor, batch: dict[str, Tensor]) -> list[str]:
        offsets, rows = batch["offsets"], batch["owners"].tolist()
        best, first, last = best_spans(
            begins, ends, offsets[..., 0] >= 0, self.task.max_target_length
        )
        nothing = begins[:, 0] + ends[:, 0]
        found = [(-torch.inf, "")] * len(batch["row_numbers"])
        none = [torch.inf] * len(found)
        for window, row in enumerate(rows):
            none[row] = min(none[row], float(nothing[window]))
            if float(best[window]) > found[row][0]:
                begin = int(offsets[window, first[window], 0])
                end = int(offsets[window, last[window], 1])
                text = self._texts[int(batch["row_numbers"][row])][begin:end]
                found[row] = (float(best[window]), text)
        return [
            "" if self.task.unanswerable and empty > score else text
            for (score, text), empty in zip(found, none, strict=True)
        ]

    def _logits(self, model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        inputs = {name: tensor for name, tensor in batch.items() if name not in _OWN}
        output = model(**inputs)
        # No answer begins in padding, and how much of it there is must not matter to the loss.
        padding, least = batch["attention_mask"] == 0, torch.finfo(torch.float32).min
        begins, ends = output.start_logits.float(), output.end_logits.float()
        return begins.masked_fill(padding, least), ends.masked_fill(padding, least)


def span_of(answer: tuple[int, int] | None, offsets: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the places of the first and last token of an answer; (0, 0) if it is not all there.

    Args:
        answer: First character and the one behind the last.
        offsets: The same of every token; (-1, -1) for those that are not of the text.
    """
    places = [i for i, (begin, _) in enumerate(offsets) if begin >= 0]
    if answer is None or not places:
        return 0, 0
    begin, end = answer
    inside = [i for i in places if offsets[i][1] > begin and offsets[i][0] < end]
    # The window must hold the whole answer, not the part of it that its edge left.
    if not inside or offsets[places[0]][0] > begin or offsets[places[-1]][1] < end:
        return 0, 0
    return inside[0], inside[-1]


def best_spans(
    begins: Tensor, ends: Tensor, allowed: Tensor, longest: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return score, first and last token of the best span of each window, each (windows,).

    Args:
        begins: Scores of the first token, (windows, tokens).
        ends: Scores of the last token, (windows, tokens).
        allowed: Whether a token is of the text, (windows, tokens).
        longest: Most tokens of a span.
    """
    begins, ends = (each.masked_fill(~allowed, -torch.inf) for each in (begins, ends))
    width = begins.shape[1]
    reach = torch.ones(width, width, dtype=torch.bool, device=begins.device)
    reach = reach.triu() & ~reach.triu(longest)
    table = (begins.unsqueeze(2) + ends.unsqueeze(1)).masked_fill(~reach, -torch.inf)
    best, place = table.flatten(1).max(1)
    return best, place // width, place % width
