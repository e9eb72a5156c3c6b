"""An independent judge of entailment: parse the words, enumerate small worlds, evaluate.

Nothing here knows of monotonicity, templates or edits. The lexicon gives only the word classes
and who is whose hypernym.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from peftsearch.micro.lexicon import NUMBERS, lexicon
from peftsearch.micro.sentences import Sentence

Individual = frozenset[str]
World = tuple[Individual, ...]


def parse(text: str) -> Sentence:
    """Read a sentence back from its words, by the lexicon alone."""
    words = text.split()
    quantifier = " ".join(words[:2]) if words[0] in ("not", "at") else words[0]
    rest = words[len(quantifier.split()) :]
    known = lexicon()

    def find(among: tuple[str, ...]) -> str | None:
        found = [word for word in rest if word in among]
        assert len(found) <= 1
        return found[0] if found else None

    sentence = Sentence(
        quantifier=quantifier,
        noun=find(known.nouns) or "",
        verb=find(known.verbs) or "",
        number=find(NUMBERS),
        adjective=find(known.adjectives),
        negated="don't" in rest,
        adverb=find(known.adverbs),
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
    ancestors = lexicon().ancestors
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
            holds(
                Sentence(quantifier, s.noun, s.verb, None, s.adjective, s.negated, s.adverb), (one,)
            )
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
