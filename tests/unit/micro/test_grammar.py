"""The built-in task: determinism, balance, disjoint splits, and labels that are true.

The labels are proved by a model checker that knows nothing of monotonicity: it reads the words of
a row, builds every small world in which its nouns, verbs and modifiers could live, and looks for
one where the premise holds and the hypothesis fails.
"""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from peftsearch.micro import grammar
from peftsearch.micro.grammar import NUMBERS, SPLIT_SIZES, SPLITS, Sentence, Split

Individual = frozenset[str]
World = tuple[Individual, ...]

ROWS_CHECKED = 120


def parse(text: str) -> Sentence:
    """Read a sentence back from its words, by the lexicon alone."""
    words = text.split()
    quantifier = " ".join(words[:2]) if words[0] in ("not", "at") else words[0]
    rest = words[len(quantifier.split()) :]
    lexicon = grammar.lexicon()

    def find(among: tuple[str, ...]) -> str | None:
        found = [word for word in rest if word in among]
        assert len(found) <= 1
        return found[0] if found else None

    sentence = Sentence(
        quantifier=quantifier,
        noun=find(lexicon.nouns) or "",
        verb=find(lexicon.verbs) or "",
        number=find(NUMBERS),
        adjective=find(lexicon.adjectives),
        negated="don't" in rest,
        adverb=find(lexicon.adverbs),
    )
    assert str(sentence) == text
    return sentence


def holds(sentence: Sentence, world: World) -> bool:
    """Evaluate a sentence in a world, by its truth conditions."""

    def in_subject(one: Individual) -> bool:
        return sentence.noun in one and (sentence.adjective is None or sentence.adjective in one)

    def in_predicate(one: Individual) -> bool:
        does = sentence.verb in one and (sentence.adverb is None or sentence.adverb in one)
        return not does if sentence.negated else does

    inside = sum(in_subject(one) and in_predicate(one) for one in world)
    outside = sum(in_subject(one) and not in_predicate(one) for one in world)
    number = NUMBERS.index(sentence.number) + 2 if sentence.number else 0
    meanings: dict[str, Callable[[], bool]] = {
        "all": lambda: outside == 0,
        "some": lambda: inside > 0,
        "no": lambda: inside == 0,
        "not all": lambda: outside > 0,
        "at least": lambda: inside >= number,
        "at most": lambda: inside <= number,
    }
    return meanings[sentence.quantifier]()


def possible_individuals(*sentences: Sentence) -> list[Individual]:
    """List every way to be, in the words of the sentences: hyponyms imply their hypernyms."""
    ancestors = grammar.lexicon().ancestors
    named = {
        word
        for s in sentences
        for word in (s.noun, s.verb, s.adjective, s.adverb)
        if word is not None
    }
    subsets = itertools.chain.from_iterable(
        itertools.combinations(sorted(named), size) for size in range(len(named) + 1)
    )
    return [
        frozenset(subset)
        for subset in subsets
        if all(a in subset for word in subset for a in ancestors.get(word, ()) if a in named)
    ]


def distinguishable(individuals: list[Individual], *sentences: Sentence) -> list[Individual]:
    """Keep one individual of each kind that no sentence here can tell apart."""
    kinds: dict[tuple[bool, ...], Individual] = {}
    for one in individuals:
        # What a sentence says of a world of one: whether it is subject, and whether predicate.
        key = tuple(
            holds(Sentence(quantifier, s.noun, s.verb, None, s.adjective, s.negated, s.adverb), (one,))
            for s in sentences
            for quantifier in ("some", "all")
        )
        kinds.setdefault(key, one)
    return list(kinds.values())


def worlds(premise: Sentence, hypothesis: Sentence) -> Iterator[World]:
    """Enumerate all worlds, up to one individual more than the largest number mentioned.

    More never helps: a counterexample needs at most as many witnesses as a number asks for, or
    one more than it allows.
    """
    individuals = possible_individuals(premise, hypothesis)
    individuals = distinguishable(individuals, premise, hypothesis)
    numbers = [NUMBERS.index(s.number) + 2 for s in (premise, hypothesis) if s.number]
    for size in range(max([2, *numbers]) + 2):
        yield from itertools.combinations_with_replacement(individuals, size)


def has_counterexample(premise: Sentence, hypothesis: Sentence) -> bool:
    """Say whether the premise can hold without the hypothesis."""
    return any(
        holds(premise, world) and not holds(hypothesis, world)
        for world in worlds(premise, hypothesis)
    )


@pytest.mark.parametrize("split", SPLITS)
def test_rows_are_deterministic_distinct_and_balanced(split: Split) -> None:
    rows = grammar.nli_rows(split)

    assert rows == grammar.nli_rows(split)
    assert rows != grammar.nli_rows(split, seed=1)
    assert len(rows) == SPLIT_SIZES[split]
    assert [row["idx"] for row in rows] == list(range(len(rows)))
    assert len({(row["premise"], row["hypothesis"]) for row in rows}) == len(rows)
    assert Counter(row["label"] for row in rows) == {0: len(rows) // 2, 1: len(rows) // 2}


def test_rows_do_not_depend_on_the_process() -> None:
    code = "from peftsearch.micro.grammar import nli_rows as n; import sys; sys.stdout.write(str(n('test')))"
    other = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)},
    )

    assert other.stdout == str(grammar.nli_rows("test"))


def test_importing_the_task_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None;"
        "import peftsearch.micro.grammar, peftsearch.micro.corpus"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(SPLITS, 2)))
def test_splits_share_neither_content_words_nor_templates(one: Split, other: Split) -> None:
    seen: list[tuple[set[str], set[grammar.Template]]] = []
    for split in (one, other):
        pairs = [
            (parse(str(row["premise"])), parse(str(row["hypothesis"])))
            for row in grammar.nli_rows(split)
        ]
        fillers = {
            word
            for pair in pairs
            for s in pair
            for word in (s.noun, s.verb, s.adjective, s.adverb)
            if word is not None
        }
        seen.append((fillers, {grammar.template_of(*pair) for pair in pairs}))

    assert not seen[0][0] & seen[1][0]
    assert not seen[0][1] & seen[1][1]


def test_every_split_uses_all_of_its_words() -> None:
    for split in SPLITS:
        used = {
            word
            for row in grammar.nli_rows(split)
            for word in f"{row['premise']} {row['hypothesis']}".split()
        }
        words = grammar.lexicon(split)
        assert {*words.nouns, *words.verbs, *words.adjectives, *words.adverbs} <= used


@pytest.mark.parametrize("split", SPLITS)
def test_labels_are_those_of_the_model_checker(split: Split) -> None:
    rows = random.Random(0).sample(grammar.nli_rows(split), ROWS_CHECKED)

    for row in rows:
        premise, hypothesis = parse(str(row["premise"])), parse(str(row["hypothesis"]))
        assert has_counterexample(premise, hypothesis) == bool(row["label"]), row


def test_every_quantifier_direction_is_that_of_the_model_checker() -> None:
    rng, words = random.Random(0), grammar.lexicon()
    for form in grammar.template_splits():
        if len(form.edits) == 2:
            continue
        premise, hypothesis = grammar._fill(rng, form, words)
        assert has_counterexample(premise, hypothesis) == bool(form.label), (premise, hypothesis)


def test_a_world_can_be_wrong_about_the_row() -> None:
    """The checker itself: two classical cases with known answers."""
    dogs, animals = Sentence("all", "dogs", "run"), Sentence("all", "animals", "run")

    assert has_counterexample(dogs, animals)
    assert not has_counterexample(animals, dogs)


@pytest.mark.parametrize("split", SPLITS)
def test_no_single_feature_gives_the_label_away(split: Split) -> None:
    """The best guess from one feature alone stays near chance."""
    rows = grammar.nli_rows(split)
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
        grammar.entails(Sentence("all", "dogs", "run"), Sentence("some", "dogs", "run"))


def test_inputs_are_short() -> None:
    lengths = [
        len(grammar.PROMPT.format(**row).split())
        for split in SPLITS
        for row in grammar.nli_rows(split)
    ]
    assert max(lengths) <= 20
