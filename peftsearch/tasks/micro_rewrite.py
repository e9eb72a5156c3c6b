"""The built-in generation task: sentences of the project's own grammar, made wider; no download."""

from __future__ import annotations

from peftsearch.micro.rewriting import PROMPT, rewrite_rows
from peftsearch.tasks.base import Builtin, Task

TASKS = (
    Task(
        name="micro-rewrite",
        description="built in, no download: write a sentence with a word replaced by a wider one",
        kind="generation",
        columns=("word", "sentence"),
        label_column="target",
        template=PROMPT,
        metrics=("edit_similarity", "exact_match"),
        max_length=64,
        max_target_length=12,
        source=Builtin(rewrite_rows),
    ),
)
