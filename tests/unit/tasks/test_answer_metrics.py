"""Metrics of texts, tags and groups against values worked out by hand and other definitions."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from peftsearch.errors import ConfigError, MissingError
from peftsearch.tasks.answers import Grouped, Texts, constant_predictions
from peftsearch.tasks.metrics import FITTING, METRICS, score

# --- answers to questions ---


@pytest.mark.parametrize(
    ("right", "said", "f1", "exact"),
    [
        (("the Eiffel Tower",), "Eiffel tower.", 1, 1),  # article, case and stop do not count
        (("Denver Broncos",), "The Broncos", 2 / 3, 0),  # one of one said, one of two right
        (("a b c d",), "b c x", 2 / 3, 0),  # "a" is an article: 2 common of 3 and 3
        (("b b c",), "b c c", 2 / 3, 0),  # bags of words, not sets
        (("Paris", "in Paris, France"), "in Paris", 4 / 5, 0),  # the best of several
        ((), "", 1, 1),  # no answer, and none given
        ((), "something", 0, 0),
        (("something",), "", 0, 0),
        (("the",), "", 1, 1),  # nothing is left of either
    ],
)
def test_answers_by_hand(right: tuple[str, ...], said: str, f1: float, exact: float) -> None:
    found = score(("squad_f1", "squad_exact_match"), [Texts(right)], [said])
    assert found == {"squad_f1": pytest.approx(f1), "squad_exact_match": exact}


@given(st.lists(st.sampled_from("bcd"), max_size=5), st.lists(st.sampled_from("bcd"), max_size=5))
def test_f1_of_words_is_that_of_precision_and_recall(right: list[str], said: list[str]) -> None:
    common = sum(min(right.count(word), said.count(word)) for word in "bcd")
    if not right or not said:
        wanted = float(right == said)
    elif not common:
        wanted = 0.0
    else:
        precision, recall = common / len(said), common / len(right)
        wanted = 2 * precision * recall / (precision + recall)
    found = METRICS["squad_f1"]([Texts((" ".join(right),))], [" ".join(said)])
    assert found == pytest.approx(wanted)


# --- groups: MultiRC ---


def test_multirc_by_hand() -> None:
    """F1 over all answers of both questions; exact match question by question."""
    first, second = ("p", "q1"), ("p", "q2")
    right = [Grouped(1, first), Grouped(0, first), Grouped(1, second), Grouped(1, second)]
    said = [1.0, 0.0, 1.0, 0.0]
    found = score(("f1", "group_exact_match"), right, said)
    assert found == {"f1": pytest.approx(4 / 5), "group_exact_match": 0.5}
    assert score(("group_exact_match",), right, [1.0, 1.0, 0.0, 1.0])["group_exact_match"] == 0


def test_groups_may_be_apart() -> None:
    a, b = Grouped(1, ("a",)), Grouped(0, ("b",))
    found = score(("group_exact_match",), [a, b, a, b], [1.0, 0.0, 0.0, 0.0])
    assert found["group_exact_match"] == 0.5


# --- CB: the mean of F1 over three labels ---


def test_cb_s_f1_is_the_mean_over_its_labels() -> None:
    right, said = [0.0, 0, 0, 1, 1, 2], [0.0, 0, 1, 1, 1, 0]
    by_label = [2 * 2 / (3 + 3), 2 * 2 / (2 + 3), 0]  # 2 common / (right + said)
    assert score(("macro_f1",), right, said)["macro_f1"] == pytest.approx(sum(by_label) / 3)


@pytest.mark.parametrize("name", ["accuracy", "f1", "macro_f1", "matthews"])
def test_what_is_no_label_is_wrong(name: str) -> None:
    right = [1.0, 0.0, 1.0, 0.0]
    bad, half = [-1.0] * 4, [1.0, 0.0, -1.0, 0.0]
    assert METRICS[name](right, bad) == 0
    assert 0 < METRICS[name](right, half) < 1


# --- tags ---


def entities(tags: list[str]) -> Counter[tuple[str, int, int]]:
    """Read B-/I- tags by hand: (kind, begin, end)."""
    found: Counter[tuple[str, int, int]] = Counter()
    start, kind = None, ""
    for place, tag in enumerate([*tags, "O"]):
        if start is not None and not (tag.startswith("I-") and tag[2:] == kind):
            found[kind, start, place] += 1
            start = None
        if tag.startswith("B-") or (tag.startswith("I-") and start is None):
            start, kind = place, tag[2:]
    return found


TAGS = st.lists(st.sampled_from(["O", "B-X", "I-X", "B-Y", "I-Y"]), min_size=6, max_size=6)


@given(TAGS, TAGS)
def test_entity_f1_is_that_of_whole_entities(right: list[str], said: list[str]) -> None:
    a, b = entities(right), entities(said)
    wanted = 2 * (a & b).total() / (a.total() + b.total()) if a or b else 0.0
    assert METRICS["entity_f1"]([tuple(right)], [tuple(said)]) == pytest.approx(wanted)


def test_words_that_were_cut_are_wrong() -> None:
    right = [("B-X", "O"), ("O", "B-Y")]
    said = [("B-X", "O"), ("O",)]
    found = score(("entity_f1", "word_accuracy", "tag_f1"), right, said)
    assert found["word_accuracy"] == 3 / 4
    assert found["entity_f1"] == pytest.approx(2 / 3)
    assert found["tag_f1"] == pytest.approx((1 + 1 + 0) / 3)  # B-X, O and B-Y


def test_tags_from_a_file_are_lists() -> None:
    """A race keeps its predictions as JSON."""
    assert score(("word_accuracy",), [("O", "B")], [["O", "B"]])["word_accuracy"] == 1  # type: ignore[list-item]


# --- BLEU, chrF and ROUGE ---


def test_bleu_by_hand() -> None:
    """Precisions 5/6, 3/5, 1/4 and, smoothed as sacrebleu does, 1/(2*3); nothing is too short."""
    right, said = "the cat sat on the mat", "the cat lay on the mat"
    wanted = math.exp(sum(map(math.log, (5 / 6, 3 / 5, 1 / 4, 1 / 6))) / 4)
    assert score(("bleu",), [right], [said])["bleu"] == pytest.approx(wanted)


def test_bleu_takes_several_references_and_rows_with_fewer() -> None:
    right = [Texts(("a b c d e", "v w x y z")), Texts(("one two three four five",))]
    said = ["v w x y z", "one two three four five"]
    assert score(("bleu", "chrf", "rouge1"), right, said) == {
        "bleu": pytest.approx(1),
        "chrf": pytest.approx(1),
        "rouge1": pytest.approx(1),
    }


def test_chrf_by_hand() -> None:
    """F2 of the mean precision and recall of "abc" in "abcd", over one to three characters."""
    precision = 1.0
    recall = (3 / 4 + 2 / 3 + 1 / 2) / 3
    wanted = 5 * precision * recall / (4 * precision + recall)
    found = score(("chrf",), ["abcd"], ["abc"])["chrf"]
    assert found == pytest.approx(wanted)  # four characters stand on one side only: left out
    assert score(("chrf",), ["abcd"], ["abcd"])["chrf"] == pytest.approx(1)


SAID = st.lists(st.sampled_from(["a", "the", "red.", "bluest", "Cat,"]), max_size=7).map(" ".join)


@given(st.lists(st.tuples(st.lists(SAID, min_size=1, max_size=3), SAID), min_size=1, max_size=4))
def test_sums_over_rows_are_the_corpus_scores_of_sacrebleu(
    rows: list[tuple[list[str], str]],
) -> None:
    most = max(len(right) for right, _ in rows)
    streams = [[right[i] if i < len(right) else None for right, _ in rows] for i in range(most)]
    said = [each for _, each in rows]
    found = score(("bleu", "chrf"), [Texts(tuple(right)) for right, _ in rows], said)
    assert 100 * found["bleu"] == pytest.approx(sacrebleu.corpus_bleu(said, streams).score)
    assert 100 * found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(said, streams).score)


def common_subsequence(a: list[str], b: list[str]) -> int:
    if not a or not b:
        return 0
    if a[-1] == b[-1]:
        return 1 + common_subsequence(a[:-1], b[:-1])
    return max(common_subsequence(a[:-1], b), common_subsequence(a, b[:-1]))


WORDS = st.lists(st.sampled_from(["red", "blue", "cat"]), min_size=1, max_size=5)


@given(WORDS, WORDS)
def test_rouge_is_the_f1_of_what_it_counts(a: list[str], b: list[str]) -> None:
    def f1(common: int, left: int, right: int) -> float:
        return 2 * common / (left + right) if common else 0.0

    right, said = [" ".join(a)], [" ".join(b)]
    ones = (Counter(a) & Counter(b)).total()
    twos = (Counter(itertools.pairwise(a)) & Counter(itertools.pairwise(b))).total()
    found = score(("rouge1", "rouge2", "rougel"), right, said)
    assert found["rouge1"] == pytest.approx(f1(ones, len(a), len(b)))
    assert found["rouge2"] == pytest.approx(f1(twos, len(a) - 1, len(b) - 1))
    assert found["rougel"] == pytest.approx(f1(common_subsequence(a, b), len(a), len(b)))


@pytest.mark.parametrize(
    ("metric", "package"), [("bleu", "sacrebleu"), ("entity_f1", "seqeval"), ("rouge1", "rouge")]
)
def test_a_package_that_is_missing(
    metric: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peftsearch.tasks import generation_metrics, packages

    generation_metrics._scorer.cache_clear()
    generation_metrics._rouge_of.cache_clear()

    def absent(name: str, *more: Any) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(packages, "import_module", absent)
    rows: list[Any] = [("O",)] if metric == "entity_f1" else ["a"]
    with pytest.raises(MissingError, match="is not installed") as caught:
        score((metric,), rows, rows)
    assert caught.value.hint.startswith(f"pip install {package}")


# --- what fits what ---


def test_every_metric_is_for_some_kind() -> None:
    assert set(METRICS) == {name for names in FITTING.values() for name in names}


def test_metrics_for_other_answers_are_refused() -> None:
    with pytest.raises(ConfigError, match='"accuracy" is not for tags'):
        score(("accuracy",), [("O",)], [("O",)])
    with pytest.raises(ConfigError, match='"bleu" is not for labels in groups'):
        score(("bleu",), [Grouped(1, ("a",))], [1.0])


@pytest.mark.parametrize(
    ("references", "wanted"),
    [
        ([1.0, 0.0, 1.0], [[1.0] * 3, [0.0] * 3]),
        (["a", "b", "b"], [["b"] * 3]),
        ([Texts(("x", "y")), Texts(()), Texts(("x",))], [["x"] * 3]),
        ([Grouped(1.0, ("g",)), Grouped(0.0, ("g",))], [[1.0] * 2, [0.0] * 2]),
        ([("O", "B"), ("O",)], [[("O", "O"), ("O",)]]),
    ],
)
def test_constant_predictions(references: list[Any], wanted: list[Any]) -> None:
    assert constant_predictions(references) == wanted
