"""The words of the built-in inference task and who is whose hypernym.

Whole trees of nouns and verbs belong to one split, so that no word of a test sentence was seen in
fine-tuning. Needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

Split = Literal["train", "validation", "test"]
Relation = Literal["same", "wider", "narrower", "other"]
Forest = dict[str, dict[str, tuple[str, ...]]]

SPLITS: Final[tuple[Split, ...]] = ("train", "validation", "test")

NUMBERS: Final = ("two", "three", "four", "five", "six")
"""Number words in increasing order; the first one means 2."""

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
