"""Summaries of articles, scored with rouge-score.

XSum (Narayan et al. 2018, arXiv:1808.08745) and CNN/DailyMail (Hermann et al. 2015,
arXiv:1506.03340), with T5's wording. ROUGE-2 decides.
"""

from __future__ import annotations

from peftsearch.tasks.base import Hub, Task


def _articles(name: str, description: str, columns: tuple[str, str], source: Hub) -> Task:
    text, summary = columns
    return Task(
        name=name,
        description=description,
        kind="generation",
        columns=(text,),
        label_column=summary,
        template=f"summarize: {{{text}}}",
        metrics=("rouge2", "rouge1", "rougel"),
        max_length=512,
        max_target_length=256,
        source=source,
    )


TASKS = (
    _articles(
        "xsum",
        "XSum: one sentence that says what an article is about; 204,045 rows",
        ("document", "summary"),
        Hub("EdinburghNLP/xsum", revision="refs/convert/parquet", data_dir="default"),
    ),
    _articles(
        "cnn-dailymail",
        "CNN/DailyMail: the highlights of an article; 287,113 rows",
        ("article", "highlights"),
        Hub("abisee/cnn_dailymail", "3.0.0"),
    ),
)
