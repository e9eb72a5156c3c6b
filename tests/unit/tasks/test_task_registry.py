"""The registered tasks: names, wording, and that finding them is cheap."""

from __future__ import annotations

import string
import subprocess
import sys
from pathlib import Path

import pytest

from peftsearch import tasks
from peftsearch.errors import ConfigError
from peftsearch.tasks import METRICS, Hub, Task
from peftsearch.tasks.base import LIKELIHOOD_KINDS
from peftsearch.tasks.metrics import FITTING

SUPERGLUE = ["boolq", "cb", "copa", "multirc", "record", "superglue-rte", "wic", "wsc"]
OTHERS = ["squad", "squad-v2", "xsum", "cnn-dailymail"]
GLUE = ["rte", "mrpc", "cola", "sst2", "stsb", "qnli", "qqp", "mnli", "wnli"]
#: Kinds of a user's own rows.
OWN = ["language-modelling", "chat"]


def test_names() -> None:
    assert sorted(tasks.all_tasks()) == sorted(
        [*GLUE, *SUPERGLUE, *OTHERS, *OWN, "micro-nli", "micro-rewrite"]
    )


@pytest.mark.parametrize("task", tasks.all_tasks().values(), ids=lambda task: task.name)
def test_every_task_is_complete(task: Task) -> None:
    fields = {name for _, name, _, _ in string.Formatter().parse(task.template) if name}
    learned = task.kind in LIKELIHOOD_KINDS  # the column itself, without any wording
    assert fields == (set() if learned else {*task.columns, *task.choices})
    assert set(task.metrics) <= set(METRICS)
    words = len(task.choices) if len(task.choices) > 1 else len(task.labels)
    assert len(set(task.label_words)) == len(task.label_words) == words
    assert set(task.metrics) <= set(FITTING[task.kind])
    assert bool(task.labels) == (task.kind == "classification")
    assert task.description
    assert (task.source is None) == (task.name in OWN)


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        ("rte", ("accuracy",)),
        ("mrpc", ("f1", "accuracy")),
        ("cola", ("matthews",)),
        ("stsb", ("pearson", "spearman")),
        ("qqp", ("f1", "accuracy")),
    ],
)
def test_glue_scores_officially(name: str, metrics: tuple[str, ...]) -> None:
    assert tasks.get(name).metrics == metrics


def test_mnli_is_tested_on_both_sets() -> None:
    source = tasks.get("mnli").source
    assert isinstance(source, Hub)
    assert (source.test, *source.more_tests) == ("validation_matched", "validation_mismatched")


def test_t5_wording() -> None:
    mnli = tasks.get("mnli")
    wording = mnli.template.format(premise="P", hypothesis="H")
    assert wording == "mnli hypothesis: H premise: P"
    assert tasks.get("cola").template == "cola sentence: {sentence}"


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(ConfigError, match='task "rtee" is not known') as caught:
        tasks.get("rtee")
    assert 'Did you mean "rte"?' in caught.value.hint


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from peftsearch import tasks; tasks.all_tasks(); "
        "heavy = {'torch', 'transformers', 'datasets', 'sklearn', 'scipy', 'huggingface_hub'}; "
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    root = Path(__file__).resolve().parents[3]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, timeout=60)


class _Entry:
    name = "mine"
    value = "mine:TASK"

    def __init__(self, found: object) -> None:
        self.found = found

    def load(self) -> object:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.mark.parametrize("many", [False, True])
def test_plug_ins_add_tasks(monkeypatch: pytest.MonkeyPatch, many: bool) -> None:
    task = Task("mine", "a plug-in", "classification", ("text",), labels=("a", "b"))
    entry = _Entry((task,) if many else task)
    monkeypatch.setattr(tasks, "entry_points", lambda group: [entry])
    tasks.all_tasks.cache_clear()
    try:
        assert tasks.get("mine") is task
    finally:
        tasks.all_tasks.cache_clear()


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (ImportError("no such module"), "cannot be loaded: no such module"),
        ((5,), "holds 5, not a Task"),
        (Task("rte", "", "classification", ("text",)), 'there already is a task "rte"'),
    ],
)
def test_broken_plug_ins_are_named(
    monkeypatch: pytest.MonkeyPatch, found: object, words: str
) -> None:
    monkeypatch.setattr(tasks, "entry_points", lambda group: [_Entry(found)])
    tasks.all_tasks.cache_clear()
    try:
        with pytest.raises(ConfigError, match=words):
            tasks.all_tasks()
    finally:
        tasks.all_tasks.cache_clear()
