"""The tokens with which Whisper begins a transcript: language, task, no marks of time.

Multilingual checkpoints are those with the vocabulary of all languages; they want to be told which
one is spoken. The others know one language and have no token for it.
"""

from __future__ import annotations

from typing import Any

from peftsearch.errors import ConfigError
from peftsearch.tasks.base import Task

#: Size of the vocabulary from which on OpenAI's checkpoints are multilingual.
MULTILINGUAL = 51865
_HINT = "language: en in a task file, or --set dataset.language=en"


def transcript_prefix(task: Task, tokenizer: Any, config: Any) -> list[int]:
    """Return the tokens before a transcript, the start token first.

    The tokenizer is left with the language set, so that an export says it too.

    Raises:
        ConfigError: A language is missing, unknown, or given to a model that knows one alone; or
            the tokenizer does not fit the model.
    """
    several = int(config.vocab_size) >= MULTILINGUAL
    language = task.language or (getattr(tokenizer, "language", None) or "" if several else "")
    if several and not language:
        raise ConfigError(
            f'the task "{task.name}" does not say which language is spoken, and the model knows '
            "several.",
            _HINT,
        )
    if task.language and not several:
        raise ConfigError(
            f'the task "{task.name}" is in the language "{task.language}", and the model knows one '
            "language alone.",
            "Leave out language, or take a multilingual model, e.g. openai/whisper-tiny.",
        )
    if several:
        before = tokenizer.language
        try:
            tokenizer.set_prefix_tokens(
                language=language, task="transcribe", predict_timestamps=False
            )
            tokens = list(tokenizer.prefix_tokens)
        except ValueError as error:
            tokenizer.language = before
            raise ConfigError(
                f'the language "{language}" of task "{task.name}" is not known to the model.', _HINT
            ) from error
    else:
        tokens = list(tokenizer.prefix_tokens)
    if tokens[:1] != [config.decoder_start_token_id]:
        raise ConfigError(
            f"the tokenizer begins transcripts with token {tokens[:1]}, and the model with "
            f"{config.decoder_start_token_id}.",
            "Take the tokenizer that the model was trained with.",
        )
    return tokens
