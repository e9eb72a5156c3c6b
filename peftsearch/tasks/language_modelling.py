"""Texts as they stand, and conversations: tasks whose rows ``--data`` brings.

``--task language-modelling`` reads the column ``text`` of rows, or ``.txt`` files, in which blank
lines stand between texts. ``--task chat`` reads ``messages`` of ``.jsonl`` rows.
"""

from __future__ import annotations

from peftsearch.tasks.base import Task

TASKS = (
    Task(
        name="language-modelling",
        description="texts of your own: column text, or .txt files with blank lines between texts",
        kind="language-modelling",
        columns=("text",),
        label_column="text",
        metrics=("log_likelihood", "perplexity"),
        max_length=512,
    ),
    Task(
        name="chat",
        description="conversations of your own: messages with role and content, loss on answers",
        kind="chat",
        columns=("messages",),
        label_column="messages",
        metrics=("log_likelihood", "perplexity"),
        max_length=1024,
    ),
)
