"""The eight SuperGLUE tasks, with T5's wording and the official metrics.

Wang et al., SuperGLUE (2019, arXiv:1905.00537). The labels of the official test sets are hidden, so
the public validation set is the test. Metrics are those of the paper's table 1: CB by F1 (the mean
over its labels) and accuracy, MultiRC by F1 over all answers and by the share of questions with
every answer right, ReCoRD by F1 and exact match with the best right entity, the others by accuracy.

Wording as in T5 (Raffel et al. 2020, arXiv:1910.10683, appendix D) but for two tasks, so that every
model answers the same question: ReCoRD compares the likelihoods of the entities where T5 writes
one, and WSC asks whether the marked pronoun means the marked phrase where T5 writes the phrase.

The rows come from the branch of the Hub on which each table is a Parquet file: the data set itself
is a script, which is never run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from peftsearch.tasks.base import Hub, Task

_YES_NO = ("False", "True")


def _rows(config: str) -> Hub:
    return Hub("aps/super_glue", revision="refs/convert/parquet", data_dir=config)


def _template(prefix: str, *columns: str) -> str:
    return " ".join([prefix, *(f"{column}: {{{column}}}" for column in columns)])


def marked_pronoun(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Mark phrase and pronoun of a WSC row: ``*Mark* told Pete many lies about #him#``.

    Positions count words between blanks. A row without them is left as it is.
    """
    places = [(values.get(f"span{i}_index"), values.get(f"span{i}_text")) for i in (1, 2)]
    text = values.get("text")
    if not isinstance(text, str):
        return values
    words = text.split()
    for mark, (start, phrase) in zip("*#", places, strict=True):
        if not isinstance(start, int) or not isinstance(phrase, str) or not phrase.split():
            return values
        end = start + len(phrase.split()) - 1
        if not 0 <= start <= end < len(words):
            return values
        words[start] = mark + words[start]
        words[end] = words[end] + mark
    return {**values, "text": " ".join(words)}


def marked_word(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Mark the word of a WiC row in both sentences: ``the *bank* of a river``.

    Positions count characters. A row without them is left as it is.
    """
    found = dict(values)
    for i in (1, 2):
        sentence, start, end = (values.get(f"{name}{i}") for name in ("sentence", "start", "end"))
        if isinstance(sentence, str) and isinstance(start, int) and isinstance(end, int):
            word = sentence[start:end]
            found[f"sentence{i}"] = f"{sentence[:start]}*{word}*{sentence[end:]}"
    return found


def plain_passage(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write the highlights of a ReCoRD passage as sentences, and name each entity once."""
    found = dict(values)
    passage, entities = values.get("passage"), values.get("entities")
    if isinstance(passage, str):
        found["passage"] = re.sub(r"(\.|\?|!|\"|')\n@highlight\n", r"\1 ", passage).replace(
            "\n@highlight\n", ". "
        )
    if isinstance(entities, list):
        found["entities"] = list(dict.fromkeys(entities))
    return found


TASKS = (
    Task(
        name="boolq",
        description="SuperGLUE BoolQ: does the passage say yes to the question? 9,427 rows",
        kind="classification",
        columns=("question", "passage"),
        labels=_YES_NO,
        label_words=_YES_NO,
        template=_template("boolq", "question", "passage"),
        max_length=256,
        source=_rows("boolq"),
    ),
    Task(
        name="cb",
        description="SuperGLUE CB: entailment, contradiction or neutral? 250 rows",
        kind="classification",
        columns=("premise", "hypothesis"),
        labels=("entailment", "contradiction", "neutral"),
        label_words=("entailment", "contradiction", "neutral"),
        # T5 was trained with the hypothesis first.
        template=_template("cb", "hypothesis", "premise"),
        metrics=("macro_f1", "accuracy"),
        max_length=256,
        source=_rows("cb"),
    ),
    Task(
        name="copa",
        description="SuperGLUE COPA: which of two is the cause, or the effect? 400 rows",
        kind="choice",
        columns=("premise", "question"),
        choices=("choice1", "choice2"),
        label_words=("choice1", "choice2"),
        template=_template("copa", "choice1", "choice2", "premise", "question"),
        source=_rows("copa"),
    ),
    Task(
        name="multirc",
        description="SuperGLUE MultiRC: is this an answer to the question? 27,243 rows",
        kind="classification",
        columns=("question", "answer", "paragraph"),
        labels=_YES_NO,
        label_words=_YES_NO,
        template=_template("multirc", "question", "answer", "paragraph"),
        metrics=("f1", "group_exact_match"),
        group=("paragraph", "question"),
        max_length=384,
        source=_rows("multirc"),
    ),
    Task(
        name="record",
        description="SuperGLUE ReCoRD: which entity is left out of the query? 100,730 rows",
        kind="choice",
        columns=("passage", "query"),
        choices=("entities",),
        placeholder="@placeholder",
        label_column="answers",
        template=_template("record", "query", "entities", "passage"),
        metrics=("squad_f1", "squad_exact_match"),
        max_length=384,
        source=_rows("record"),
        prepare=plain_passage,
    ),
    Task(
        name="superglue-rte",
        description="SuperGLUE RTE: does the premise entail the hypothesis? 2,490 rows",
        kind="classification",
        columns=("premise", "hypothesis"),
        labels=("entailment", "not_entailment"),
        label_words=("entailment", "not_entailment"),
        template="rte sentence1: {premise} sentence2: {hypothesis}",
        max_length=256,
        source=_rows("rte"),
    ),
    Task(
        name="wic",
        description="SuperGLUE WiC: has the marked word one meaning in both? 5,428 rows",
        kind="classification",
        columns=("word", "sentence1", "sentence2"),
        labels=_YES_NO,
        label_words=_YES_NO,
        template=_template("wic", "sentence1", "sentence2", "word"),
        source=_rows("wic"),
        prepare=marked_word,
    ),
    Task(
        name="wsc",
        description="SuperGLUE WSC: does the #marked# pronoun mean the *marked* phrase? 554 rows",
        kind="classification",
        columns=("text",),
        labels=_YES_NO,
        label_words=_YES_NO,
        template=_template("wsc", "text"),
        source=_rows("wsc.fixed"),
        prepare=marked_pronoun,
    ),
)
