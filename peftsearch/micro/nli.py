"""Rows of the built-in inference task, micro-nli.

Place in the flow: rows for the default task. The hypothesis is the premise with one or two edits.
Reads and writes nothing, needs no torch, and is deterministic: the same split and seed give the
same rows everywhere.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from functools import cache
from typing import Final

from peftsearch.micro.lexicon import NUMBERS, Lexicon, Split, lexicon
from peftsearch.micro.sentences import (
    CHANGES,
    MONOTONICITY,
    QUANTIFIERS,
    Edit,
    Sentence,
    agrees,
    apply_edit,
    edits_between,
)

PROMPT: Final = "forward {premise} so {hypothesis}"
"""Text-to-text form of one row; at most 20 words with the longest sentences.

"forward" is known from pretraining, where "|" stands between the sentences. "so" is new to the
model: how far the prompt is from those of pretraining is what makes the task hard, and a new
separator makes it hard in the encoder's attention instead of in the last decoder layer.
"""

LABEL_WORDS: Final = ("plus", "minus")
"""The answer for label 0 (entailment) and label 1 (not entailment), one token each."""

SPLIT_SIZES: Final[dict[Split, int]] = {"train": 4000, "validation": 600, "test": 1500}


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
