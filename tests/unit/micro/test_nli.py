"""The built-in task: determinism, balance, disjoint splits, and labels that are true.

The labels are proved by a model checker that knows nothing of monotonicity
(``model_checker.py``): it reads the words of a row, builds every small world in which its nouns,
verbs and modifiers could live, and looks for one where the premise holds and the hypothesis fails.
"""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import pytest

from peftsearch.micro import lexicon, nli, sentences
from peftsearch.micro.lexicon import SPLITS, Split
from peftsearch.micro.nli import SPLIT_SIZES
from peftsearch.micro.sentences import Sentence
from tests.unit.micro.model_checker import has_counterexample, parse

ROWS_CHECKED = 80


@pytest.mark.parametrize("split", SPLITS)
def test_rows_are_deterministic_distinct_and_balanced(split: Split) -> None:
    rows = nli.nli_rows(split)

    assert rows == nli.nli_rows(split)
    assert rows != nli.nli_rows(split, seed=1)
    assert len(rows) == SPLIT_SIZES[split]
    assert [row["idx"] for row in rows] == list(range(len(rows)))
    assert len({(row["premise"], row["hypothesis"]) for row in rows}) == len(rows)
    assert Counter(row["label"] for row in rows) == {0: len(rows) // 2, 1: len(rows) // 2}


def test_rows_do_not_depend_on_the_process() -> None:
    code = (
        "import sys; from peftsearch.micro.nli import nli_rows;"
        "sys.stdout.write(str(nli_rows('test')))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)},
    )

    assert other.stdout == str(nli.nli_rows("test"))


def test_importing_the_task_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None;"
        "import peftsearch.micro.nli, peftsearch.micro.corpus"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(SPLITS, 2)))
def test_splits_share_neither_content_words_nor_templates(one: Split, other: Split) -> None:
    seen: list[tuple[set[str], set[nli.Template]]] = []
    for split in (one, other):
        pairs = [
            (parse(str(row["premise"])), parse(str(row["hypothesis"])))
            for row in nli.nli_rows(split)
        ]
        fillers = {
            word
            for pair in pairs
            for s in pair
            for word in (s.noun, s.verb, s.adjective, s.adverb)
            if word is not None
        }
        seen.append((fillers, {nli.template_of(*pair) for pair in pairs}))

    assert not seen[0][0] & seen[1][0]
    assert not seen[0][1] & seen[1][1]


def test_every_split_uses_all_of_its_words() -> None:
    for split in SPLITS:
        used = {
            word
            for row in nli.nli_rows(split)
            for word in f"{row['premise']} {row['hypothesis']}".split()
        }
        words = lexicon.lexicon(split)
        assert {*words.nouns, *words.verbs, *words.adjectives, *words.adverbs} <= used


@pytest.mark.parametrize("split", SPLITS)
def test_labels_are_those_of_the_model_checker(split: Split) -> None:
    rows = random.Random(0).sample(nli.nli_rows(split), ROWS_CHECKED)

    for row in rows:
        premise, hypothesis = parse(str(row["premise"])), parse(str(row["hypothesis"]))
        assert has_counterexample(premise, hypothesis) == bool(row["label"]), row


def test_every_quantifier_direction_is_that_of_the_model_checker() -> None:
    rng, words = random.Random(0), lexicon.lexicon()
    for form in nli.template_splits():
        if len(form.edits) == 2:
            continue
        premise, hypothesis = nli._fill(rng, form, words)
        assert has_counterexample(premise, hypothesis) == bool(form.label), (premise, hypothesis)


def test_a_world_can_be_wrong_about_the_row() -> None:
    """The checker itself: two classical cases with known answers."""
    dogs, animals = Sentence("all", "dogs", "run"), Sentence("all", "animals", "run")

    assert has_counterexample(dogs, animals)
    assert not has_counterexample(animals, dogs)


@pytest.mark.parametrize("split", SPLITS)
def test_no_single_feature_gives_the_label_away(split: Split) -> None:
    """The best guess from one feature alone stays near chance."""
    rows = nli.nli_rows(split)
    features: dict[str, Callable[[Sentence, Sentence], object]] = {
        "quantifier and negation": lambda p, h: (p.quantifier, p.negated),
        "length of the hypothesis": lambda p, h: len(str(h).split()),
        "noun of the hypothesis": lambda p, h: h.noun,
        "verb of the hypothesis": lambda p, h: h.verb,
    }
    for name, feature in features.items():
        counts: dict[object, Counter[int]] = {}
        for row in rows:
            key = feature(parse(str(row["premise"])), parse(str(row["hypothesis"])))
            counts.setdefault(key, Counter())[int(row["label"])] += 1
        right = sum(max(each.values()) for each in counts.values())
        assert right / len(rows) < 0.6, name


def test_comparing_different_quantifiers_is_refused() -> None:
    with pytest.raises(ValueError, match="quantifier or negation differ"):
        sentences.entails(Sentence("all", "dogs", "run"), Sentence("some", "dogs", "run"))


def test_inputs_are_short() -> None:
    lengths = [
        len(nli.PROMPT.format(**row).split()) for split in SPLITS for row in nli.nli_rows(split)
    ]
    assert max(lengths) <= 20
