"""The nine GLUE tasks, with T5's wording and the official metrics.

Wang et al., GLUE (2019, arXiv:1804.07461); prompts and label words of Raffel et al., T5 (2020,
arXiv:1910.10683, appendix D). The labels of the official test sets are hidden, so the public
validation set is the test.

GLUE scores MRPC and QQP by F1 and accuracy, STS-B by Pearson and Spearman correlation; the first
of each is the primary metric here, and both are reported. MNLI is scored on the matched set, and
the mismatched set is reported beside it.
"""

from __future__ import annotations

from peftsearch.tasks.base import Hub, Task

_PATH = "nyu-mll/glue"
_MNLI = Hub(_PATH, "mnli", "train", "validation_matched", ("validation_mismatched",))


def _template(prefix: str, *columns: str) -> str:
    return " ".join([prefix, *(f"{column}: {{{column}}}" for column in columns)])


TASKS = (
    Task(
        name="rte",
        description="GLUE RTE: does the first sentence entail the second? 2,490 rows",
        kind="classification",
        columns=("sentence1", "sentence2"),
        labels=("entailment", "not_entailment"),
        label_words=("entailment", "not_entailment"),
        template=_template("rte", "sentence1", "sentence2"),
        max_length=256,
        source=Hub(_PATH, "rte"),
    ),
    Task(
        name="mrpc",
        description="GLUE MRPC: do two news sentences say the same? 3,668 rows",
        kind="classification",
        columns=("sentence1", "sentence2"),
        labels=("not_equivalent", "equivalent"),
        label_words=("not_equivalent", "equivalent"),
        template=_template("mrpc", "sentence1", "sentence2"),
        metrics=("f1", "accuracy"),
        source=Hub(_PATH, "mrpc"),
    ),
    Task(
        name="cola",
        description="GLUE CoLA: is the sentence grammatical? 8,551 rows",
        kind="classification",
        columns=("sentence",),
        labels=("unacceptable", "acceptable"),
        label_words=("unacceptable", "acceptable"),
        template=_template("cola", "sentence"),
        metrics=("matthews",),
        source=Hub(_PATH, "cola"),
    ),
    Task(
        name="sst2",
        description="GLUE SST-2: is the film review positive? 67,349 rows",
        kind="classification",
        columns=("sentence",),
        labels=("negative", "positive"),
        label_words=("negative", "positive"),
        template=_template("sst2", "sentence"),
        source=Hub(_PATH, "sst2"),
    ),
    Task(
        name="stsb",
        description="GLUE STS-B: how similar are two sentences, from 0 to 5? 5,749 rows",
        kind="regression",
        columns=("sentence1", "sentence2"),
        template=_template("stsb", "sentence1", "sentence2"),
        metrics=("pearson", "spearman"),
        source=Hub(_PATH, "stsb"),
    ),
    Task(
        name="qnli",
        description="GLUE QNLI: does the sentence answer the question? 104,743 rows",
        kind="classification",
        columns=("question", "sentence"),
        labels=("entailment", "not_entailment"),
        label_words=("entailment", "not_entailment"),
        template=_template("qnli", "question", "sentence"),
        max_length=256,
        source=Hub(_PATH, "qnli"),
    ),
    Task(
        name="qqp",
        description="GLUE QQP: do two questions ask the same? 363,846 rows",
        kind="classification",
        columns=("question1", "question2"),
        labels=("not_duplicate", "duplicate"),
        label_words=("not_duplicate", "duplicate"),
        template=_template("qqp", "question1", "question2"),
        metrics=("f1", "accuracy"),
        source=Hub(_PATH, "qqp"),
    ),
    Task(
        name="mnli",
        description="GLUE MNLI: entailment, neutral or contradiction? 392,702 rows",
        kind="classification",
        columns=("premise", "hypothesis"),
        labels=("entailment", "neutral", "contradiction"),
        label_words=("entailment", "neutral", "contradiction"),
        # T5 was trained with the hypothesis first.
        template=_template("mnli", "hypothesis", "premise"),
        max_length=256,
        source=_MNLI,
    ),
    Task(
        name="wnli",
        description="GLUE WNLI: is the pronoun resolved rightly? 635 rows",
        kind="classification",
        columns=("sentence1", "sentence2"),
        labels=("not_entailment", "entailment"),
        label_words=("not_entailment", "entailment"),
        template=_template("wnli", "sentence1", "sentence2"),
        source=Hub(_PATH, "wnli"),
    ),
)
