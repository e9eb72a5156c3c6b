"""Task YAML files: defaults, and all problems at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from peftsearch.errors import ConfigError
from peftsearch.tasks import Folder, Hub, get, load


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def message(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        get(write(tmp_path, text))
    assert caught.value.exit_code == 2
    return f"{caught.value.message} {caught.value.hint}"


def test_defaults(tmp_path: Path) -> None:
    task = get(write(tmp_path, "columns: [text, other]\nlabels: [good, bad]\n"))
    assert task.name == "mine"
    assert task.kind == "classification"
    assert task.label_words == ("good", "bad")
    assert task.template == "mine text: {text} other: {other}"
    assert (task.metric, task.max_length, task.source) == ("accuracy", 128, None)
    with pytest.raises(ConfigError, match="does not say where its rows are"):
        load(task)


def test_everything_said(tmp_path: Path) -> None:
    text = """
name: stars
description: five stars
kind: classification
columns: [review]
label_column: stars
labels: [1, 2, 3]
label_words: [bad, fair, good]
template: "stars of: {review}"
metrics: [macro_f1, accuracy]
max_length: 64
data: rows
"""
    task = get(write(tmp_path, text))
    assert task.labels == ("1", "2", "3")
    assert task.source == Folder(tmp_path / "rows")
    (tmp_path / "rows").mkdir()
    for name in ("train", "validation"):
        (tmp_path / "rows" / f"{name}.jsonl").write_text('{"review": "x", "stars": 2}\n')
    assert load(task).train == [{"review": "x", "stars": 1}]


def test_a_data_set_of_the_hub(tmp_path: Path) -> None:
    text = "columns: [text]\nlabels: [a, b]\ndata: {path: me/mine, config: big, test: dev}\n"
    assert get(write(tmp_path, text)).source == Hub("me/mine", "big", "train", "dev")


def test_regression(tmp_path: Path) -> None:
    task = get(write(tmp_path, "kind: regression\ncolumns: [text]\nlabel_words: [0, 0.5, 1]\n"))
    assert task.metrics == ("pearson", "spearman")
    assert task.label_words == ("0", "0.5", "1")


def test_generation(tmp_path: Path) -> None:
    text = "kind: generation\ncolumns: [word]\nlabel_column: sounds\ndata: rows\n"
    task = get(write(tmp_path, text))
    assert task.metrics == ("edit_similarity", "exact_match")
    assert (task.labels, task.label_words) == ((), ())
    assert (task.max_target_length, task.target_tokenizer) == (64, None)
    task = get(write(tmp_path, text + "max_target_length: 9\ntarget_tokenizer: phonemes\n"))
    assert (task.max_target_length, task.target_tokenizer) == (9, "phonemes")
    (tmp_path / "phonemes").mkdir()  # a folder beside the file is the one that is meant
    assert get(tmp_path / "mine.yaml").target_tokenizer == str(tmp_path / "phonemes")
    (tmp_path / "rows").mkdir()
    for name in ("train", "validation"):
        lines = '{"word": "a", "sounds": "A"}\n{"word": "b", "sounds": "B"}\n'
        (tmp_path / "rows" / f"{name}.jsonl").write_text(lines)
    assert load(task).train == [{"word": "a", "sounds": "A"}, {"word": "b", "sounds": "B"}]
    (tmp_path / "rows" / "train.jsonl").write_text(
        '{"word": "a", "sounds": 5}\n{"word": "b", "sounds": " "}\n{"word": "c"}\n'
    )
    with pytest.raises(ConfigError) as caught:
        load(task)
    for line, problem in enumerate(("is 5, not a text", "is empty", "is missing"), 1):
        assert f'train.jsonl line {line}: "sounds" {problem}' in caught.value.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("columns: [a]\nlabels: [x, y]\nlabelcolumn: z", 'Did you mean "label_column"?'),
        ("columns: [a]\nlabels: [x, y]\ndata: {path: p/q, tset: z}", 'unknown key "data.tset"'),
        ("columns: [a]\nlabels: [x, y]\ndata: {config: z}", "data.path is missing"),
        ("columns: [a]\nlabels: [x, y]\ndata: 5", "data is 5"),
        ("labels: [x, y]", "columns is missing"),
        ("columns: [a, b, c]\nkind: extraction", "columns has 3 names"),
        ("columns: [a, b]\nkind: tagging\nlabels: [x, y]", "columns has 2 names"),
        ("columns: [a]\nkind: choice", "choices is missing"),
        ("columns: [a]\nkind: choice\nchoices: [b, c]\nlabel_words: [x]", "for 2 choices"),
        ("columns: [a]\nkind: choice\nchoices: [b, c]\ntemplate: '{a}'", 'use "{b}"'),
        ("columns: [a]\nlabels: [x, y]\nchoices: [b]", "choices has no meaning for classification"),
        ("columns: [a]\nlabels: [x, y]\nscoring: guess", 'scoring "guess" is not known'),
        ("columns: [a]\nlabels: [x, y]\nunanswerable: true", "unanswerable has no meaning"),
        ("columns: [a]\nlabels: [x, y]\nmetrics: [group_exact_match]", "needs groups"),
        ("columns: [a]\nlabels: [x, y]\nmetrics: [bleu]", '"bleu" is not for classification'),
        ("columns: [a, b]\nkind: extraction\nlabel_words: [x]", "have no meaning for extraction"),
        ("columns: a\nlabels: [x, y]", "columns is 'a', not a list"),
        ("columns: [a]", "labels is missing"),
        ("columns: [a]\nlabels: [x]", "labels has one name"),
        ("columns: [a]\nlabels: [x, x]", "labels names something twice: x, x"),
        ("columns: [a]\nlabels: [yes, no]", "labels holds True, not a text"),
        ("columns: [a]\nlabels: [x, y]\nlabel_words: [u]", "1 entries for 2 labels"),
        ("columns: [a]\nlabels: [x, y]\ntemplate: '{a} {b}'", 'asks for "{b}"'),
        ("columns: [a, b]\nlabels: [x, y]\ntemplate: '{a}'", 'does not use "{b}"'),
        ("columns: [a]\nlabels: [x, y]\ntemplate: '{a'", "not a format text"),
        ("columns: [a.b]\nlabels: [x, y]", 'column "a.b" cannot stand in a template'),
        ("columns: [a]\nlabels: [x, y]\nmetrics: [accuray]", 'Did you mean "accuracy"?'),
        ("columns: [a]\nlabels: [x, y]\nmetrics: [pearson]", "not for classification"),
        ("columns: [a]\nlabels: [x, y, z]\nmetrics: [f1]", "Use macro_f1"),
        ("columns: [a]\nlabels: [x, y]\nmax_length: 4", "max_length is 4"),
        ("columns: [a]\nlabels: [x, y]\nkind: clasification", 'Did you mean "classification"?'),
        ("columns: [a]\nkind: regression\nlabels: [x, y]", "no meaning for regression"),
        ("columns: [a]\nkind: regression\nlabel_words: [x, 1]", "answers numbers"),
        ("columns: [a]\nkind: generation\nlabels: [x, y]", "no meaning for generation"),
        ("columns: [a]\nkind: generation\nlabel_words: [x, y]", "label_words have no meaning"),
        ("columns: [a]\nkind: generation\nmetrics: [accuracy]", "Use edit_similarity, exact_"),
        ("columns: [a]\nkind: generation\nmax_target_length: 1", "at least 2"),
        ("columns: [a]\nlabels: [x, y]\nmax_target_length: 9", "no meaning for classification"),
        ("columns: [a]\nkind: regression\ntarget_tokenizer: x", "Remove target_tokenizer."),
        ("columns: [a\n", "not YAML"),
        ("- a", "not a task but ['a']"),
        ("", "not a task but None"),
    ],
)
def test_problems(tmp_path: Path, text: str, words: str) -> None:
    assert words in message(tmp_path, text)


def test_all_problems_at_once(tmp_path: Path) -> None:
    text = "colums: [a]\nlabels: [x]\nmetrics: [nope]\nmax_length: long\n"
    found = message(tmp_path, text)
    assert found.startswith("5 problems")
    assert found.count(str(tmp_path / "mine.yaml")) == 5


def test_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        get(tmp_path / "absent.yaml")


def test_a_choice_of_columns_and_of_a_list(tmp_path: Path) -> None:
    task = get(write(tmp_path, "kind: choice\ncolumns: [a]\nchoices: [one, two]\n"))
    assert task.label_words == ("one", "two")
    assert task.template == "mine one: {one} two: {two} a: {a}"
    assert task.metrics == ("accuracy",)
    task = get(write(tmp_path, "kind: choice\ncolumns: [a]\nchoices: [all]\nplaceholder: _\n"))
    assert (task.label_words, task.placeholder) == ((), "_")
    assert task.metrics == ("squad_f1", "squad_exact_match")
    row = {"a": "x", "all": ["y", "z"], "label": ["z"]}
    assert task.options(row) == ["y", "z"]
    assert task.fields(row) == {"a": "x", "all": "y, z"}


def test_groups_extraction_and_scoring(tmp_path: Path) -> None:
    text = "columns: [a]\nlabels: [x, y]\ngroup: [id]\nmetrics: [f1, group_exact_match]\n"
    task = get(write(tmp_path, text + "scoring: generation\n"))
    assert (task.group, task.scoring) == (("id",), "generation")
    text = "kind: extraction\ncolumns: [q, c]\nunanswerable: true\nstride: 9\n"
    task = get(write(tmp_path, text))
    assert (task.unanswerable, task.stride, task.max_length) == (True, 9, 384)
    assert task.metrics == ("squad_f1", "squad_exact_match")
