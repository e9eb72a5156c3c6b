"""Rows of the built-in rewriting task, micro-rewrite.

Place in the flow: rows for the generation task. A sentence is written anew, with one of its words
replaced by the word for the next wider set: "kind dogs so all dogs run" becomes "all animals
run". Reads and writes nothing, needs no torch, and is deterministic: the same split and seed give
the same rows everywhere.
"""

from __future__ import annotations

import random
from typing import Final

from peftsearch.micro.lexicon import Split, lexicon
from peftsearch.micro.sentences import random_sentence

PROMPT: Final = "kind {word} so {sentence}"
"""Text-to-text form of one row.

"kind dogs" alone is known from pretraining, and answered by "animals". "so" is new to the model,
and so is writing a whole sentence after "kind".
"""

SPLIT_SIZES: Final[dict[Split, int]] = {"train": 4000, "validation": 600, "test": 1500}
LEAST_WORDS: Final = 4
"""Words of the shortest sentence; the longest has eight."""


def rewrite_rows(split: Split, seed: int = 0) -> list[dict[str, str]]:
    """Build one split of the task.

    Splits share neither nouns nor verbs, adjectives or adverbs; they share the function words.
    Rows are distinct, and the target follows from the input.

    Args:
        split: Which split; its size is in :data:`SPLIT_SIZES`.
        seed: Draws other rows from the same split.

    Returns:
        Dictionaries with ``word`` (a noun or verb of the sentence), ``sentence`` and ``target``.
    """
    rng, words = random.Random(f"micro-rewrite/{split}/{seed}"), lexicon(split)
    found: dict[tuple[str, str], str] = {}
    while len(found) < SPLIT_SIZES[split]:
        sentence = random_sentence(rng, words)
        word = rng.choice((sentence.noun, sentence.verb))
        tokens = str(sentence).split()
        if words.ancestors[word] and len(tokens) >= LEAST_WORDS:
            target = [words.ancestors[word][0] if token == word else token for token in tokens]
            found[word, str(sentence)] = " ".join(target)
    return [
        {"word": word, "sentence": sentence, "target": target}
        for (word, sentence), target in found.items()
    ]
