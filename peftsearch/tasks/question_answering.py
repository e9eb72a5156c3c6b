"""SQuAD 1.1 and 2.0, with the official metrics and T5's wording.

Rajpurkar et al. 2016 (arXiv:1606.05250) and 2018 (arXiv:1806.03822); windows of 384 tokens that
share 128, and answers of 30 at most, as in BERT (Devlin et al. 2019).
"""

from __future__ import annotations

from peftsearch.tasks.base import Hub, Task


def _squad(name: str, description: str, path: str, unanswerable: bool) -> Task:
    return Task(
        name=name,
        description=description,
        kind="extraction",
        columns=("question", "context"),
        label_column="answers",
        template="question: {question} context: {context}",
        metrics=("squad_f1", "squad_exact_match"),
        max_length=384,
        max_target_length=30,
        stride=128,
        unanswerable=unanswerable,
        source=Hub(path),
    )


TASKS = (
    _squad(
        "squad",
        "SQuAD 1.1: find the answer in a paragraph; 87,599 rows",
        "rajpurkar/squad",
        unanswerable=False,
    ),
    _squad(
        "squad-v2",
        "SQuAD 2.0: the same, or say that there is none; 130,319 rows",
        "rajpurkar/squad_v2",
        unanswerable=True,
    ),
)
