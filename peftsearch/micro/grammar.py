"""Grammar, lexicon and exact semantics of the built-in inference task (micro-nli).

Place in the flow: rows for the default task, sentences for pretraining. Reads and writes nothing,
needs no torch, and is deterministic: the same split and seed give the same rows everywhere.

A sentence is ``quantifier [number] [adjective] noun [don't] verb [adverb]`` and says something
about two sets, its subject (adjective and noun) and its predicate (verb and adverb, complemented
by "don't", which always has narrow scope: "all dogs don't run" means that no dog runs). The
hypothesis is the premise with one or two edits, each of which makes a slot wider, narrower or
merely different, or raises or lowers the number. The label follows from the monotonicity of the
quantifiers (van Benthem, 1986): an entailment needs every edit to agree with its slot.

There is no existential import: "all dogs run" is true where there are no dogs.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final, Literal

__all__ = [
    "ADJECTIVES",
    "ADVERBS",
    "CHANGES",
    "LABEL_WORDS",
    "MONOTONICITY",
    "NOUNS",
    "NUMBERS",
    "PROMPT",
    "QUANTIFIERS",
    "SPLITS",
    "SPLIT_SIZES",
    "VERBS",
    "Edit",
    "Lexicon",
    "Sentence",
    "Split",
    "Template",
    "agrees",
    "apply_edit",
    "edits_between",
    "entails",
    "lexicon",
    "modifier_relation",
    "nli_rows",
    "random_sentence",
    "template_of",
    "template_splits",
]

Split = Literal["train", "validation", "test"]
Relation = Literal["same", "wider", "narrower", "other"]
Edit = tuple[str, str]
Forest = dict[str, dict[str, tuple[str, ...]]]

PROMPT: Final = "forward {premise} so {hypothesis}"
"""Text-to-text form of one row; at most 20 words with the longest sentences.

"forward" is known from pretraining, where "|" stands between the sentences. "so" is new to the
model: how far the prompt is from those of pretraining is what makes the task hard, and a new
separator makes it hard in the encoder's attention instead of in the last decoder layer.
"""

LABEL_WORDS: Final = ("plus", "minus")
"""The answer for label 0 (entailment) and label 1 (not entailment), one token each."""

SPLITS: Final[tuple[Split, ...]] = ("train", "validation", "test")
SPLIT_SIZES: Final[dict[Split, int]] = {"train": 4000, "validation": 600, "test": 1500}

NUMBERS: Final = ("two", "three", "four", "five", "six")
"""Number words in increasing order; the first one means 2."""

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

# Whole trees belong to one split, so that no word of a test sentence was seen in fine-tuning.
NOUNS: Final[dict[Split, Forest]] = {
    "train": {
        "animals": {
            "dogs": ("poodles", "beagles"),
            "birds": ("owls", "robins"),
            "snakes": ("cobras", "vipers"),
        },
        "people": {
            "artists": ("painters", "sculptors"),
            "doctors": ("surgeons", "dentists"),
            "athletes": ("boxers", "sprinters"),
        },
        "vehicles": {
            "cars": ("taxis", "sedans"),
            "boats": ("ferries", "canoes"),
            "planes": ("jets", "gliders"),
        },
    },
    "validation": {
        "toys": {
            "dolls": ("puppets", "figurines"),
            "balls": ("marbles", "footballs"),
            "puzzles": ("jigsaws", "mazes"),
        },
    },
    "test": {
        "machines": {
            "robots": ("androids", "drones"),
            "computers": ("laptops", "servers"),
            "engines": ("motors", "turbines"),
        },
        "monsters": {
            "ghosts": ("phantoms", "poltergeists"),
            "dragons": ("wyverns", "hydras"),
            "giants": ("ogres", "titans"),
        },
    },
}
"""Three levels of nouns: root, kinds, kinds of kinds."""

VERBS: Final[dict[Split, dict[str, tuple[str, ...]]]] = {
    "train": {
        "move": ("run", "crawl", "swim"),
        "speak": ("whisper", "shout", "mumble"),
        "rest": ("sleep", "nap", "doze"),
        "eat": ("nibble", "munch", "gobble"),
    },
    "validation": {
        "look": ("stare", "peek", "glance"),
        "laugh": ("giggle", "chuckle", "cackle"),
    },
    "test": {
        "work": ("build", "cook", "paint"),
        "play": ("sing", "dance", "juggle"),
    },
}
"""Two levels of verbs."""

ADJECTIVES: Final[dict[Split, tuple[str, ...]]] = {
    "train": ("brave", "old", "small", "happy", "quiet", "green"),
    "validation": ("young", "red", "tall"),
    "test": ("blue", "strong", "shy"),
}
"""Intersective adjectives, independent of each other and of the nouns."""

ADVERBS: Final[dict[Split, tuple[str, ...]]] = {
    "train": ("slowly", "often", "outside", "alone", "today", "badly"),
    "validation": ("gladly", "daily", "together"),
    "test": ("calmly", "rarely", "indoors"),
}
"""Intersective adverbs, independent of each other and of the verbs."""


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


@dataclass(frozen=True)
class Lexicon:
    """The content words open to a sentence, and who is whose hypernym.

    ``ancestors`` maps every noun and verb to its hypernyms, nearest first; roots map to ``()``.
    """

    nouns: tuple[str, ...]
    verbs: tuple[str, ...]
    adjectives: tuple[str, ...]
    adverbs: tuple[str, ...]
    ancestors: dict[str, tuple[str, ...]]

    def choices(self, slot: str) -> tuple[str, ...]:
        """Return the words that may fill ``slot`` (noun, verb, adjective, adverb)."""
        words: tuple[str, ...] = getattr(self, slot + "s")
        return words

    def head_relation(self, old: str, new: str) -> Relation:
        """Say how the set named by ``new`` relates to the one named by ``old``."""
        if old == new:
            return "same"
        if new in self.ancestors[old]:
            return "wider"
        return "narrower" if old in self.ancestors[new] else "other"


@cache
def lexicon(split: Split | None = None) -> Lexicon:
    """Return the words of one split, or of the whole language when ``split`` is None."""
    splits = SPLITS if split is None else (split,)
    ancestors: dict[str, tuple[str, ...]] = {}
    for name in splits:
        for root, kinds in NOUNS[name].items():
            ancestors[root] = ()
            for kind, leaves in kinds.items():
                ancestors[kind] = (root,)
                ancestors.update({leaf: (kind, root) for leaf in leaves})
    nouns = tuple(ancestors)
    for name in splits:
        for root, leaves in VERBS[name].items():
            ancestors[root] = ()
            ancestors.update({leaf: (root,) for leaf in leaves})
    return Lexicon(
        nouns=nouns,
        verbs=tuple(word for word in ancestors if word not in nouns),
        adjectives=tuple(word for name in splits for word in ADJECTIVES[name]),
        adverbs=tuple(word for name in splits for word in ADVERBS[name]),
        ancestors=ancestors,
    )


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


@dataclass(frozen=True)
class Template:
    """The form of a row without its words: what stands in the premise, and what is edited.

    ``adjective`` and ``adverb`` say whether the premise has one; ``edits`` is in the order of
    :data:`CHANGES`.
    """

    quantifier: str
    negated: bool
    adjective: bool
    adverb: bool
    edits: tuple[Edit, ...]

    @property
    def label(self) -> int:
        """0 if rows of this form are entailments, else 1."""
        return int(not all(agrees(self.quantifier, self.negated, each) for each in self.edits))

    @property
    def group(self) -> tuple[str, bool, int, int]:
        """What is shared evenly between the splits: quantifier, negation, edits, label."""
        return self.quantifier, self.negated, len(self.edits), self.label


def template_of(premise: Sentence, hypothesis: Sentence) -> Template:
    """Return the form of a row."""
    return Template(
        premise.quantifier,
        premise.negated,
        premise.adjective is not None,
        premise.adverb is not None,
        edits_between(premise, hypothesis),
    )


@cache
def template_splits() -> dict[Template, Split]:
    """Deal every possible template to one split: 60 % train, 15 % validation, 25 % test.

    Each group (:attr:`Template.group`) is dealt in these shares, so that the splits are alike
    although no form of sentence pair is seen in two of them.
    """
    groups: dict[tuple[str, bool, int, int], list[Template]] = {}
    for form in _all_templates():
        groups.setdefault(form.group, []).append(form)
    dealt: dict[Template, Split] = {}
    for members in groups.values():
        random.Random(f"micro-nli/templates/{members[0].group}").shuffle(members)
        for place, form in enumerate(members):
            share = (place + 0.5) / len(members)
            dealt[form] = "train" if share < 0.6 else "validation" if share < 0.75 else "test"
    return dealt


def _all_templates() -> list[Template]:
    """List all forms with one or two edits."""
    return [
        Template(quantifier, negated, adjective, adverb, edits)
        for quantifier, negated, adjective, adverb in itertools.product(
            QUANTIFIERS, (False, True), (False, True), (False, True)
        )
        for num_edits in (1, 2)
        for slots in itertools.combinations(CHANGES, num_edits)
        for edits in itertools.product(*([(s, c) for c in CHANGES[s]] for s in slots))
        if _possible(quantifier, adjective, adverb, edits)
    ]


def _possible(quantifier: str, adjective: bool, adverb: bool, edits: tuple[Edit, ...]) -> bool:
    """Say whether the edited slots are there: a modifier comes only where there is none."""
    present = {"adjective": adjective, "adverb": adverb}
    for slot, change in edits:
        if slot == "number" and not MONOTONICITY[quantifier][2]:
            return False
        if slot in present and present[slot] == (change == "narrower"):
            return False
    return True


def nli_rows(split: Split, seed: int = 0) -> list[dict[str, str | int]]:
    """Build one split of the task.

    Splits share neither templates (:func:`template_splits`) nor nouns, verbs, adjectives or
    adverbs; they share the function words (quantifiers, numbers, "don't"). Rows are distinct.
    Quantifier, negation and number of edits are drawn independently of the label.

    Args:
        split: which split; its size is in :data:`SPLIT_SIZES`.
        seed: draws other rows from the same split.

    Returns:
        Dictionaries with ``premise``, ``hypothesis``, ``label`` (0 entailment, 1 not) and
        ``idx`` (position, from 0). Exactly half of the rows has each label.
    """
    rng = random.Random(f"micro-nli/{split}/{seed}")
    groups: dict[tuple[str, bool, int, int], list[Template]] = {}
    for form, owner in template_splits().items():
        if owner == split:
            groups.setdefault(form.group, []).append(form)
    found: dict[tuple[str, str], int] = {}
    while len(found) < SPLIT_SIZES[split]:
        label = len(found) % 2
        key = (rng.choice(QUANTIFIERS), rng.random() < 0.5, rng.choice((1, 2)), label)
        premise, hypothesis = _fill(rng, _draw(rng, groups[key]), lexicon(split))
        found.setdefault((str(premise), str(hypothesis)), label)
    rows = list(found.items())
    rng.shuffle(rows)
    return [
        {"premise": premise, "hypothesis": hypothesis, "label": label, "idx": idx}
        for idx, ((premise, hypothesis), label) in enumerate(rows)
    ]


def _draw(rng: random.Random, forms: list[Template]) -> Template:
    """Draw a template; "other" never entails anything and is kept rare, as it is too easy."""
    weights = [0.25 ** sum(change == "other" for _, change in form.edits) for form in forms]
    return rng.choices(forms, weights)[0]


def _fill(rng: random.Random, form: Template, words: Lexicon) -> tuple[Sentence, Sentence]:
    """Draw words for a template; premises whose words allow no such edit are drawn again."""
    while True:
        numeric = MONOTONICITY[form.quantifier][2] != 0
        premise = Sentence(
            quantifier=form.quantifier,
            number=rng.choice(NUMBERS) if numeric else None,
            adjective=rng.choice(words.adjectives) if form.adjective else None,
            noun=rng.choice(words.nouns),
            negated=form.negated,
            verb=rng.choice(words.verbs),
            adverb=rng.choice(words.adverbs) if form.adverb else None,
        )
        hypothesis: Sentence | None = premise
        for each in form.edits:
            hypothesis = hypothesis and apply_edit(rng, hypothesis, each, words)
        if hypothesis is not None:
            return premise, hypothesis
