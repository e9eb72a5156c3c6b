"""The built-in generation task: determinism, splits that share no words, targets that are right."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest

from peftsearch.micro import rewriting
from peftsearch.micro.lexicon import NOUNS, SPLITS, VERBS, Split
from peftsearch.tasks import get, load

#: The next wider word of every word, read off the trees themselves.
WIDER = {
    **{kind: root for trees in NOUNS.values() for root, kinds in trees.items() for kind in kinds},
    **{
        leaf: kind
        for trees in NOUNS.values()
        for kinds in trees.values()
        for kind, leaves in kinds.items()
        for leaf in leaves
    },
    **{leaf: root for trees in VERBS.values() for root, leaves in trees.items() for leaf in leaves},
}
CONTENT = {*WIDER, *WIDER.values()}


@pytest.mark.parametrize("split", SPLITS)
def test_rows_are_deterministic_and_distinct(split: Split) -> None:
    rows = rewriting.rewrite_rows(split)
    assert rows == rewriting.rewrite_rows(split)
    assert rows != rewriting.rewrite_rows(split, seed=1)
    assert len(rows) == rewriting.SPLIT_SIZES[split]
    assert len({(row["word"], row["sentence"]) for row in rows}) == len(rows)


@pytest.mark.parametrize("split", SPLITS)
def test_one_word_becomes_the_next_wider_one(split: Split) -> None:
    for row in rewriting.rewrite_rows(split):
        old, new = row["sentence"].split(), row["target"].split()
        assert 4 <= len(new) <= 9
        changed = [pair for pair in zip(old, new, strict=True) if pair[0] != pair[1]]
        assert changed == [(row["word"], WIDER[row["word"]])]


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(SPLITS, 2)))
def test_splits_share_no_content_words(one: Split, other: Split) -> None:
    words = [
        {word for row in rewriting.rewrite_rows(split) for word in row["target"].split()}
        for split in (one, other)
    ]
    assert not words[0] & words[1] & CONTENT
    assert words[0] & words[1]  # the function words


def test_rows_do_not_depend_on_the_process() -> None:
    code = (
        "import sys; from peftsearch.micro.rewriting import rewrite_rows;"
        "sys.stdout.write(str(rewrite_rows('test')))"
    )
    environment = {"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", code]
    other = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert other.stdout == str(rewriting.rewrite_rows("test"))


def test_the_model_has_a_token_for_every_word() -> None:
    from peftsearch.backbones.loading import load_reader

    task, words = get("micro-rewrite"), load_reader("micro-t5")
    data = load(task)
    for row in [*data.train, *data.test]:
        prompt, target = (
            words(x)["input_ids"] for x in (task.template.format(**row), row["target"])
        )
        assert words.unk_token_id not in prompt + target
        assert len(target) <= task.max_target_length
