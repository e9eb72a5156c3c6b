"""The pretraining text: determinism, coverage, true answers, and no leak of the task."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from functools import cache

import pytest

from peftsearch.micro import MODEL_DIRS, corpus, lexicon, nli
from tests.unit.micro.model_checker import has_counterexample, parse

NUM_EXAMPLES = 8_000


@cache
def take(stage: str, seed: int = 0, count: int = NUM_EXAMPLES) -> list[corpus.Example]:
    """Take the first examples of a stream."""
    return list(itertools.islice(corpus.examples(stage, seed), count))


@pytest.mark.parametrize("stage", corpus.STAGES)
def test_streams_are_deterministic(stage: str) -> None:
    again = list(itertools.islice(corpus.examples(stage), 500))
    assert take(stage)[:500] == again
    assert take(stage, seed=1, count=500) != again


@pytest.mark.parametrize("stage", corpus.STAGES)
def test_shares_are_met(stage: str) -> None:
    shares = corpus.STAGES[stage]
    assert sum(shares.values()) == pytest.approx(1.0)
    first_words = Counter(source.split()[0] for source, _ in take(stage))
    assert first_words["fill"] / NUM_EXAMPLES == pytest.approx(shares["fill"], abs=0.02)
    assert first_words["compare"] / NUM_EXAMPLES == pytest.approx(shares["compare"], abs=0.02)


def test_the_text_uses_every_word_of_every_split() -> None:
    seen = {
        word for stage in corpus.STAGES for pair in take(stage) for word in " ".join(pair).split()
    }
    sentinels = {corpus.sentinel(index) for index in range(corpus.NUM_SENTINELS)}
    words = set(corpus.vocabulary())

    assert seen - sentinels <= words
    assert words - seen == set(corpus.UNSEEN)


@pytest.mark.parametrize("stage", corpus.STAGES)
def test_the_task_never_occurs(stage: str) -> None:
    pairs = {
        f"{row['premise']} | {row['hypothesis']}"
        for split in lexicon.SPLITS
        for row in nli.nli_rows(split)
    }
    separator = nli.PROMPT.split()[2]
    assert separator in corpus.UNSEEN
    for source, _ in take(stage):
        assert separator not in source.split()
        assert source.partition(" ")[2] not in pairs


def test_filled_spans_restore_a_sentence() -> None:
    words = set(corpus.vocabulary())
    for source, target in take("a", count=2000):
        if not source.startswith("fill "):
            continue
        spans: dict[str, list[str]] = {}
        for token in target.split():
            if token.startswith("<"):
                spans[token] = []
            else:
                spans[list(spans)[-1]].append(token)
        restored = [word for token in source.split()[1:] for word in spans.pop(token, [token])]
        assert not spans
        assert set(restored) <= words


@pytest.mark.parametrize("stage", ["b", "c", "d"])
def test_judgements_are_balanced_and_true(stage: str) -> None:
    judged = [pair for pair in take(stage) if pair[0].startswith("forward ")]
    for source, target in judged[:200]:
        premise, hypothesis = (parse(text) for text in source.partition(" ")[2].split(" | "))
        assert has_counterexample(premise, hypothesis) == (target == nli.LABEL_WORDS[1]), source
    answers = Counter(target for _, target in judged)
    assert set(answers) == set(nli.LABEL_WORDS)
    assert max(answers.values()) / len(judged) < 0.53


def test_rewrites_are_true() -> None:
    rewrites = [pair for pair in take("a") if pair[0].split()[0] in ("weaken", "strengthen")]
    for source, target in rewrites[:200]:
        prompt, _, sentence = source.partition(" ")
        old, new = parse(sentence), parse(target)
        assert not has_counterexample(*((old, new) if prompt == "weaken" else (new, old)))


def test_the_tokenizer_knows_every_word() -> None:
    known = json.loads((MODEL_DIRS["micro-t5"] / "tokenizer.json").read_text())["model"]["vocab"]
    sentinels = {corpus.sentinel(index) for index in range(corpus.NUM_SENTINELS)}
    assert set(known) == {"<pad>", "</s>", "<unk>", *sentinels, *corpus.vocabulary()}
    assert (known["<pad>"], known["</s>"]) == (0, 1)
