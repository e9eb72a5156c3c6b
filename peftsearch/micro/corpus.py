"""Pretraining text for the built-in models: what they know before any fine-tuning.

Place in the flow: read by ``scripts/pretrain_micro_t5.py`` and ``scripts/pretrain_micro_bert.py``
only. Reads and writes nothing, needs no torch, and is deterministic.

Stage A teaches the language: span corruption, hypernyms, comparison of phrases, polarity of
slots, order of numbers, weakening and strengthening of sentences. Stages B and C teach whether
one sentence follows from another after a single edit, first without and then with numbers in the
sentence, and stage D after two edits. Never seen is the task's separator (its form); never
judged are edits of the number and exchanges for an unrelated word (its contents). So fine-tuning
has something left to learn, and in more than one place of the network.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Final

from peftsearch.micro.lexicon import NUMBERS, SPLITS, Lexicon, lexicon
from peftsearch.micro.nli import LABEL_WORDS, nli_rows
from peftsearch.micro.sentences import (
    CHANGES,
    QUANTIFIERS,
    Edit,
    Sentence,
    agrees,
    apply_edit,
    modifier_relation,
    random_sentence,
)

__all__ = ["NUM_SENTINELS", "STAGES", "UNSEEN", "Example", "examples", "sentinel", "vocabulary"]

Example = tuple[str, str]
"""Source and target text, words separated by blanks, without end marks."""

UNSEEN: Final = ("so", "hence", "thus")
"""Words that no pretraining text uses: material for prompts of which the model knows nothing."""

NUM_SENTINELS: Final = 4
"""How many spans one source may lose."""

STAGES: Final[dict[str, dict[str, float]]] = {
    "a": {
        "fill": 0.2,
        "kind": 0.05,
        "compare": 0.2,
        "order": 0.05,
        "polarity": 0.25,
        "rewrite": 0.05,
        "change": 0.2,
    },
    "b": {
        "fill": 0.08,
        "kind": 0.02,
        "compare": 0.05,
        "order": 0.05,
        "polarity": 0.08,
        "rewrite": 0.04,
        "change": 0.1,
        "place": 0.13,
        "judge": 0.45,
    },
    "c": {
        "fill": 0.05,
        "kind": 0.02,
        "compare": 0.1,
        "order": 0.04,
        "polarity": 0.04,
        "change": 0.1,
        "place": 0.1,
        "judge": 0.2,
        "judge_numeric": 0.35,
    },
    "d": {
        "fill": 0.05,
        "kind": 0.02,
        "compare": 0.13,
        "order": 0.05,
        "polarity": 0.03,
        "change": 0.05,
        "place": 0.05,
        "judge_numeric": 0.27,
        "judge_two": 0.35,
    },
}
"""Per stage, the share of each kind of example; shares sum to 1."""

_RELATION_WORDS: Final = {"same": "equal", "wider": "over", "narrower": "under", "other": "apart"}
_REWRITES: Final = ("weaken", "strengthen")
_JUDGEMENTS: Final = ("forward",)
_JUDGED_SLOTS: Final = ("adjective", "noun", "verb", "adverb")


def sentinel(index: int) -> str:
    """Return the ``index``-th sentinel token, as T5 names it."""
    return f"<extra_id_{index}>"


def vocabulary() -> tuple[str, ...]:
    """Return every word of the language, the prompts and the answers, each once.

    Sentinels and the tokenizer's own tokens (padding, end, unknown) are not among them.
    """
    words = lexicon()
    prompts = (*_MAKERS, *_REWRITES, *_JUDGEMENTS)
    answers = (*LABEL_WORDS, *_RELATION_WORDS.values(), "up", "down", "less", "more")
    # The order fixes the token ids of the packaged weights: append only.
    everything = (
        UNSEEN[0],
        "|",
        *(prompt for prompt in prompts if prompt != "rewrite" and not prompt.startswith("judge")),
        *UNSEEN[1:],
        *answers,
        "don't",
        *(word for quantifier in QUANTIFIERS for word in quantifier.split()),
        *NUMBERS,
        *words.nouns,
        *words.verbs,
        *words.adjectives,
        *words.adverbs,
    )
    return tuple(dict.fromkeys(everything))


def examples(stage: str, seed: int = 0) -> Iterator[Example]:
    """Yield pretraining examples without end; take as many as the schedule needs.

    No judged pair is a row of the task (default seed), whatever its split.

    Args:
        stage: a key of :data:`STAGES`.
        seed: draws another stream.
    """
    rng = random.Random(f"micro-t5/{stage}/{seed}")
    names, shares = zip(*STAGES[stage].items(), strict=True)
    held_out = _task_pairs()
    words = lexicon()
    while True:
        # A kind is kept until it yields, or the shares would favour kinds that never fail.
        maker = _MAKERS[rng.choices(names, shares)[0]]
        example = maker(rng, words)
        while example is None or example[0].partition(" ")[2] in held_out:
            example = maker(rng, words)
        yield example


def _task_pairs() -> frozenset[str]:
    """Return "premise | hypothesis" for every row of the task, in both directions."""
    rows = [row for split in SPLITS for row in nli_rows(split)]
    forward = {f"{row['premise']} | {row['hypothesis']}" for row in rows}
    return frozenset(forward | {f"{row['hypothesis']} | {row['premise']}" for row in rows})


def _fill(rng: random.Random, words: Lexicon) -> Example:
    """One sentence with about 30 % of its words masked in spans, and the masked words."""
    tokens = str(random_sentence(rng, words)).split()
    num_masked = max(1, round(0.3 * len(tokens)))
    masked = set(rng.sample(range(len(tokens)), num_masked))
    source, target, num_spans = ["fill"], [], 0
    for place, token in enumerate(tokens):
        if place not in masked:
            source.append(token)
            continue
        if place - 1 not in masked:
            source.append(sentinel(num_spans))
            target.append(sentinel(num_spans))
            num_spans += 1
        target.append(token)
    return " ".join(source), " ".join(target)


def _kind(rng: random.Random, words: Lexicon) -> Example | None:
    """A word and its nearest hypernym."""
    word = rng.choice((*words.nouns, *words.verbs))
    above = words.ancestors[word]
    return (f"kind {word}", above[0]) if above else None


def _compare(rng: random.Random, words: Lexicon) -> Example | None:
    """Two noun or verb phrases, and how the second set relates to the first."""
    slot, modifier_slot = rng.choice((("noun", "adjective"), ("verb", "adverb")))
    target = rng.choice(tuple(_RELATION_WORDS))
    old, new = _related_pair(rng, words, slot, target)
    if old is None or new is None:
        return None
    before = rng.choice((None, rng.choice(words.choices(modifier_slot))))
    after = rng.choice((None, before, rng.choice(words.choices(modifier_slot))))
    head, modifier = words.head_relation(old, new), modifier_relation(before, after)
    relation = modifier if head == "same" else head
    if "same" not in (head, modifier) and head != modifier:
        relation = "other"
    phrases = (_phrase(slot, old, before), _phrase(slot, new, after))
    return f"compare {phrases[0]} | {phrases[1]}", _RELATION_WORDS[relation]


def _phrase(slot: str, head: str, modifier: str | None) -> str:
    """Join a head and its modifier: adjectives stand before nouns, adverbs after verbs."""
    if modifier is None:
        return head
    return f"{modifier} {head}" if slot == "noun" else f"{head} {modifier}"


def _related_pair(
    rng: random.Random, words: Lexicon, slot: str, relation: str
) -> tuple[str | None, str | None]:
    """Draw two nouns or verbs with this relation, (None, None) if the first one has no such."""
    old = rng.choice(words.choices(slot))
    fits = [word for word in words.choices(slot) if words.head_relation(old, word) == relation]
    return (old, rng.choice(fits)) if fits else (None, None)


def _order(rng: random.Random, words: Lexicon) -> Example:
    """Two different numbers, and whether the second is less or more."""
    old, new = rng.sample(range(len(NUMBERS)), 2)
    return f"order {NUMBERS[old]} | {NUMBERS[new]}", "more" if new > old else "less"


def _polarity(rng: random.Random, words: Lexicon) -> Example:
    """A sentence, and for each slot in reading order whether truth survives a wider set there."""
    sentence = random_sentence(rng, words)
    order = ("number", "adjective", "noun", "verb", "adverb")
    present = [slot for slot in order if getattr(sentence, slot) is not None]
    return f"polarity {sentence}", " ".join(_direction(sentence, slot) for slot in present)


def _direction(sentence: Sentence, slot: str) -> str:
    """Return "up" if the sentence stays true with a wider set (a higher number), else "down"."""
    widening = "higher" if slot == "number" else "wider"
    return "up" if agrees(sentence.quantifier, sentence.negated, (slot, widening)) else "down"


def _rewrite(rng: random.Random, words: Lexicon) -> Example | None:
    """A sentence, and the same with one edit that makes it weaker or stronger."""
    sentence, task = random_sentence(rng, words), rng.choice(_REWRITES)
    edits = [(slot, change) for slot in CHANGES for change in CHANGES[slot] if change != "other"]
    edit = rng.choice(edits)
    weaker = agrees(sentence.quantifier, sentence.negated, edit)
    if weaker != (task == "weaken"):
        return None
    result = apply_edit(rng, sentence, edit, words)
    return None if result is None else (f"{task} {sentence}", str(result))


def _single_edit(
    rng: random.Random, words: Lexicon, numeric: bool = False
) -> tuple[Sentence, Edit, Sentence] | None:
    """Draw a sentence, one edit of it (never of its number), and the result."""
    premise = random_sentence(rng, words, numeric=numeric)
    edit: Edit = (rng.choice(_JUDGED_SLOTS), rng.choice(("wider", "narrower")))
    hypothesis = apply_edit(rng, premise, edit, words)
    return None if hypothesis is None else (premise, edit, hypothesis)


def _change(rng: random.Random, words: Lexicon) -> Example | None:
    """A pair with a single edit, and how the edited set relates to what it was."""
    drawn = _single_edit(rng, words)
    return drawn and (f"change {drawn[0]} | {drawn[2]}", _RELATION_WORDS[drawn[1][1]])


def _place(rng: random.Random, words: Lexicon) -> Example | None:
    """A pair with a single edit, and the polarity of the edited slot."""
    drawn = _single_edit(rng, words)
    return drawn and (f"place {drawn[0]} | {drawn[2]}", _direction(drawn[0], drawn[1][0]))


def _judge(rng: random.Random, words: Lexicon, numeric: bool = False) -> Example | None:
    """A pair with a single edit, and whether the second sentence follows from the first."""
    drawn, prompt = _single_edit(rng, words, numeric), rng.choice(_JUDGEMENTS)
    if drawn is None:
        return None
    premise, edit, hypothesis = drawn
    follows = agrees(premise.quantifier, premise.negated, edit)
    return f"{prompt} {premise} | {hypothesis}", LABEL_WORDS[0 if follows else 1]


def _judge_numeric(rng: random.Random, words: Lexicon) -> Example | None:
    """The same with all quantifiers, of which a third has a number."""
    return _judge(rng, words, numeric=True)


def _judge_two(rng: random.Random, words: Lexicon) -> Example | None:
    """A judgement of a pair with two edits in different slots, about half of them true."""
    premise = random_sentence(rng, words)
    # The verdict comes first: three in four random pairs of edits would not follow.
    pairs: list[list[Edit]] = [
        [(one, change), (other, also)]
        for one, other in [rng.sample(_JUDGED_SLOTS, 2)]
        for change in ("wider", "narrower")
        for also in ("wider", "narrower")
    ]
    agreeing = [all(agrees(premise.quantifier, premise.negated, e) for e in pair) for pair in pairs]
    follows = rng.random() < 0.5
    edits = rng.choice([p for p, agree in zip(pairs, agreeing, strict=True) if agree == follows])
    hypothesis: Sentence | None = premise
    for edit in edits:
        hypothesis = hypothesis and apply_edit(rng, hypothesis, edit, words)
    if hypothesis is None:
        return None
    return f"{_JUDGEMENTS[0]} {premise} | {hypothesis}", LABEL_WORDS[0 if follows else 1]


_MAKERS: Final[dict[str, Callable[[random.Random, Lexicon], Example | None]]] = {
    "fill": _fill,
    "kind": _kind,
    "compare": _compare,
    "order": _order,
    "polarity": _polarity,
    "change": _change,
    "place": _place,
    "rewrite": _rewrite,
    "judge": _judge,
    "judge_numeric": _judge_numeric,
    "judge_two": _judge_two,
}
