"""Conversations in the template of the tokenizer, for decoder-only models; loss on answers alone.

What the assistant says is learned, its end mark included as the template writes it; all else is
context. Where an answer begins and ends is found by rendering the conversation up to it, with the
template's own cue for an answer, so any template will do. Some templates change earlier answers
once another turn follows (they drop what was thought); then the last answer alone is learned.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from peftsearch.errors import ConfigError
from peftsearch.formats.base import Feature
from peftsearch.formats.causal import IGNORED
from peftsearch.formats.language_modelling import LanguageModelling
from peftsearch.tasks.base import Task
from peftsearch.tasks.conversations import ASSISTANT
from peftsearch.tasks.rows import Row

Messages = list[dict[str, str]]


class Chat(LanguageModelling):
    """The form of a task whose rows are conversations.

    Args:
        task: The task.
        tokenizer: Tokenizer of the model, with a chat template.
        config: Configuration of the model.

    Raises:
        ConfigError: The tokenizer has no chat template.
    """

    def __init__(self, task: Task, tokenizer: Any, config: Any) -> None:
        super().__init__(task, tokenizer, config)
        if not tokenizer.chat_template:
            raise ConfigError(
                f'the task "{task.name}" is chat, and the tokenizer of this model has no chat '
                "template.",
                "Take the variant that was tuned on instructions, e.g. -Instruct, or write rows "
                "of prompt and answer for a task of kind generation.",
            )

    def features(self, rows: Sequence[Row]) -> list[Feature]:
        """Tokenise rows, one feature each; the reference is the number of tokens to predict.

        A conversation that is too long loses its beginning, which is counted as truncated.

        Raises:
            ConfigError: Nothing of an answer is left within the longest input.
        """
        return [self._feature(json.loads(row[self.task.columns[0]])) for row in rows]

    def _feature(self, messages: Messages) -> Feature:
        text = self._rendered(messages)
        spans = self._answers(messages, text)
        encoded = self._tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        ids = list(encoded["input_ids"])
        labels = [
            token if any(a <= start and end <= b and start < end for a, b in spans) else IGNORED
            for token, (start, end) in zip(ids, encoded["offset_mapping"], strict=True)
        ]
        if len(ids) > self.max_length:
            self.truncated += 1
            ids, labels = ids[-self.max_length :], labels[-self.max_length :]
        tokens = sum(label != IGNORED for label in labels[1:])
        if not tokens:
            raise ConfigError(
                f"a conversation has no answer within the {self.max_length} tokens at its end: "
                f"{messages[-1]['content']!r:.60}.",
                "Give a larger max_length in a task file, or leave this row out.",
            )
        return Feature({"input_ids": ids}, labels, float(tokens))

    def _answers(self, messages: Messages, text: str) -> list[tuple[int, int]]:
        """Return where answers begin and end in the rendered text, in characters."""
        found = []
        for number, message in enumerate(messages):
            if message["role"] != ASSISTANT:
                continue
            cue = self._rendered(messages[:number], cue=True)
            said = self._rendered(messages[: number + 1])
            last = number == len(messages) - 1
            if said.startswith(cue) and (last or text.startswith(said)):
                found.append((len(cue), len(said)))
            elif last:
                found.append((_common(cue, said), len(said)))
        return found

    def _rendered(self, messages: Messages, *, cue: bool = False) -> str:
        try:
            text: str = self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=cue
            )
        except Exception as error:  # templates raise what they like, jinja2's errors among it
            if not messages:  # some want a first turn of the user, and an answer has none before it
                return ""
            raise ConfigError(
                f"the chat template of this model does not take the roles "
                f"{', '.join(message['role'] for message in messages)}: {error}.",
                "Leave out system messages, or begin with the user.",
            ) from error
        return text


def _common(one: str, other: str) -> int:
    """Return the length of what two texts begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))
