"""The built-in task: entailment between sentences of the project's own grammar, no download."""

from __future__ import annotations

from peftsearch.micro.nli import LABEL_WORDS, PROMPT, nli_rows
from peftsearch.tasks.base import Builtin, Task

TASKS = (
    Task(
        name="micro-nli",
        description="built in, no download: entailment with quantifiers, negation and numbers",
        kind="classification",
        columns=("premise", "hypothesis"),
        labels=("entailment", "not_entailment"),
        label_words=tuple(LABEL_WORDS),
        template=PROMPT,
        max_length=64,
        source=Builtin(nli_rows),
    ),
)
