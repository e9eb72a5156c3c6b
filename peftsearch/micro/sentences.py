"""Sentences of the built-in inference task and the exact semantics of changing them.

A sentence is ``quantifier [number] [adjective] noun [don't] verb [adverb]`` and says something
about two sets, its subject (adjective and noun) and its predicate (verb and adverb, complemented
by "don't", which always has narrow scope: "all dogs don't run" means that no dog runs). An edit
makes a slot wider, narrower or merely different, or raises or lowers the number. Whether the old
sentence entails the new one follows from the monotonicity of the quantifiers (van Benthem, 1986):
every edit has to agree with its slot.

There is no existential import: "all dogs run" is true where there are no dogs. Needs no torch,
and is deterministic.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any, Final

from peftsearch.micro.lexicon import NUMBERS, Lexicon, Relation, lexicon

Edit = tuple[str, str]

MONOTONICITY: Final[dict[str, tuple[int, int, int]]] = {
    "all": (-1, +1, 0),
    "some": (+1, +1, 0),
    "no": (-1, -1, 0),
    "not all": (+1, -1, 0),
    "at least": (+1, +1, -1),
    "at most": (-1, -1, +1),
}
"""Per quantifier, the direction (+1 up, -1 down, 0 absent) of subject, predicate and number."""

QUANTIFIERS: Final = tuple(MONOTONICITY)

CHANGES: Final[dict[str, tuple[str, ...]]] = {
    "adjective": ("wider", "narrower", "other"),
    "noun": ("wider", "narrower", "other"),
    "verb": ("wider", "narrower", "other"),
    "adverb": ("wider", "narrower", "other"),
    "number": ("higher", "lower"),
}
"""What an edit may do to each slot. Modifiers become wider by going and narrower by coming."""


@dataclass(frozen=True)
class Sentence:
    """One sentence of the grammar; ``str`` gives its words, separated by blanks."""

    quantifier: str
    noun: str
    verb: str
    number: str | None = None
    adjective: str | None = None
    negated: bool = False
    adverb: str | None = None

    def __str__(self) -> str:
        """Return the sentence as text."""
        negation = "don't" if self.negated else None
        parts = (
            self.quantifier,
            self.number,
            self.adjective,
            self.noun,
            negation,
            self.verb,
            self.adverb,
        )
        return " ".join(part for part in parts if part is not None)


def modifier_relation(old: str | None, new: str | None) -> Relation:
    """Say what exchanging one optional intersective modifier does to the set it restricts."""
    if old == new:
        return "same"
    if new is None:
        return "wider"
    return "narrower" if old is None else "other"


def edits_between(premise: Sentence, hypothesis: Sentence) -> tuple[Edit, ...]:
    """List what changed between two sentences, in the order of :data:`CHANGES`.

    Raises:
        ValueError: if quantifier or negation differ; the calculus compares like with like only.
    """
    if (premise.quantifier, premise.negated) != (hypothesis.quantifier, hypothesis.negated):
        raise ValueError(f"quantifier or negation differ: {premise} | {hypothesis}")
    words = lexicon()
    step = _number_step(premise, hypothesis)
    changes = {
        "adjective": modifier_relation(premise.adjective, hypothesis.adjective),
        "noun": words.head_relation(premise.noun, hypothesis.noun),
        "verb": words.head_relation(premise.verb, hypothesis.verb),
        "adverb": modifier_relation(premise.adverb, hypothesis.adverb),
        "number": "higher" if step > 0 else "lower" if step < 0 else "same",
    }
    return tuple((slot, change) for slot, change in changes.items() if change != "same")


def agrees(quantifier: str, negated: bool, edit: Edit) -> bool:
    """Say whether one edit alone keeps a true sentence true, by the monotonicity of its slot."""
    slot, change = edit
    subject, predicate, number = MONOTONICITY[quantifier]
    if slot == "number":
        sign = number
    elif slot in ("adjective", "noun"):
        sign = subject
    else:
        sign = -predicate if negated else predicate
    return (change in ("wider", "higher") and sign > 0) or (
        change in ("narrower", "lower") and sign < 0
    )


def entails(premise: Sentence, hypothesis: Sentence) -> bool:
    """Decide whether the hypothesis is true wherever the premise is.

    It is if and only if every edit agrees with its slot. Two edits of one phrase need no rule of
    their own: both can only agree if they go the same way, and then so does the phrase.

    Args:
        premise: any sentence.
        hypothesis: a sentence with the same quantifier and the same "don't" as the premise.

    Raises:
        ValueError: if quantifier or negation differ.
    """
    edits = edits_between(premise, hypothesis)
    return all(agrees(premise.quantifier, premise.negated, each) for each in edits)


def _number_step(premise: Sentence, hypothesis: Sentence) -> int:
    """Return by how much the number grows from premise to hypothesis (0 without numbers)."""
    if premise.number is None or hypothesis.number is None:
        return 0
    return NUMBERS.index(hypothesis.number) - NUMBERS.index(premise.number)


def random_sentence(rng: random.Random, words: Lexicon, numeric: bool = True) -> Sentence:
    """Draw a sentence: uniform quantifier and words, each optional part in half of the cases.

    Args:
        rng: source of randomness, advanced by the call.
        words: the words to use.
        numeric: whether the two quantifiers with a number are allowed.
    """
    quantifier = rng.choice(QUANTIFIERS if numeric else QUANTIFIERS[:4])
    return Sentence(
        quantifier=quantifier,
        number=rng.choice(NUMBERS) if MONOTONICITY[quantifier][2] else None,
        adjective=rng.choice(words.adjectives) if rng.random() < 0.5 else None,
        noun=rng.choice(words.nouns),
        negated=rng.random() < 0.5,
        verb=rng.choice(words.verbs),
        adverb=rng.choice(words.adverbs) if rng.random() < 0.5 else None,
    )


def apply_edit(
    rng: random.Random, sentence: Sentence, edit: Edit, words: Lexicon
) -> Sentence | None:
    """Apply one edit, or return None where it is impossible (no wider word, nothing to drop).

    Args:
        rng: chooses among the words that fit, and is advanced only if some do.
        sentence: the sentence to edit; it is not changed.
        edit: slot and change, a key of :data:`CHANGES` and one of its values.
        words: the words that may come in.
    """
    slot, change = edit
    options = _options(sentence, slot, change, words)
    if not options:
        return None
    filler: dict[str, Any] = {slot: rng.choice(options)}
    return replace(sentence, **filler)


def _options(sentence: Sentence, slot: str, change: str, words: Lexicon) -> tuple[str | None, ...]:
    """List the fillers of ``slot`` that make exactly this change."""
    old: str | None = getattr(sentence, slot)
    if slot == "number":
        if old is None:
            return ()
        place = NUMBERS.index(old)
        return NUMBERS[place + 1 :] if change == "higher" else NUMBERS[:place]
    if slot in ("noun", "verb") and old is not None:
        return tuple(w for w in words.choices(slot) if words.head_relation(old, w) == change)
    return tuple(w for w in (None, *words.choices(slot)) if modifier_relation(old, w) == change)
