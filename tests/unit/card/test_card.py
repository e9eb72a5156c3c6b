"""Model cards: what they say, and that any text in them is shown as it is and does nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from peftsearch.card import CardFacts, model_card
from peftsearch.card.content import layer_table
from peftsearch.card.markdown import bullets, code, escaped, one_line, table

#: Reads Markdown as GitHub does, links and strikes included.
GITHUB = MarkdownIt("gfm-like", {"linkify": False})
NASTY = [
    "a | b",
    "`x` ``y``",
    "*a* _b_ **c** ~~d~~",
    "<script>alert(1)</script>",
    "[x](http://a) ![y](z)",
    "# head",
    "1. one",
    "2) two",
    "- item",
    "+ item",
    "---",
    "===",
    "> quote",
    "&amp; &lt;",
    "\\*",
    "a\nb\r\n\n# c",
    "```\nx",
    "$a$ $$b$$",
    "tab\tthen \x1b[31mred\u202eright",
    "\ud800 half",
    "<!-- -->",
    "http|x",
    "\\",
    "|",
    "[^1]: note",
    "[a]: b",
]
TEXTS = st.one_of(
    st.sampled_from(NASTY), st.text(alphabet="ab 1.)-+=#>*_`|<>[]()!~&\\$\n", max_size=12)
)
ARCHITECTURE: dict[str, Any] = {
    "format": 1,
    "model": "t5-base",
    "task": "rte",
    "backbone_parameters": 100_000,
    "budget": {"requested": "1%", "limit": 1000},
    "num_params": 700,
    "choices": [
        {
            "site": "encoder.00.attention",
            "method": "lora",
            "size": 1,
            "modules": ["q", "v"],
            "num_params": 300,
        },
        {
            "site": "encoder.00.attention",
            "method": "ia3",
            "size": 1,
            "modules": ["k"],
            "num_params": 100,
        },
        {"site": "encoder.00.feed_forward", "method": "none", "num_params": 0},
        {
            "site": "encoder.01.attention",
            "method": "adapter",
            "size": 8,
            "modules": ["o"],
            "num_params": 300,
        },
        {"site": "encoder.01.feed_forward", "method": "none", "num_params": 0},
        {"site": "decoder.00.cross_attention", "method": "none", "num_params": 0},
    ],
}
SUMMARY: dict[str, Any] = {
    "metric": "accuracy",
    "higher_is_better": True,
    "headline": "Found: good.",
    "found": {"mean": 0.8, "sd": 0.0125, "n": 3, "num_params": 700},
    "baselines": {
        "uniform-lora": {"mean": 0.7, "sd": None, "n": 1, "num_params": 990},
        "random-1": {"mean": 0.75, "sd": 0.02, "n": 3, "num_params": 998},
    },
    "alerts": [{"code": "x", "text": "It may be chance."}],
}
CHECK: dict[str, Any] = {
    "target": "peft",
    "trained": True,
    "max_logit_difference": 3e-7,
    "tolerance": 1e-5,
    "differences": {"PeftModel.from_pretrained": 3e-7},
    "entries": [
        {"name": "lora", "num_params": 300, "trained": 300},
        {"name": "layernorm", "num_params": 64, "trained": 128, "why": "two at once"},
    ],
    "notes": {},
    "load": ["model = load('found')"],
}


def facts(**more: Any) -> CardFacts:
    given: dict[str, Any] = {
        "repository": "me/found",
        "architecture": ARCHITECTURE,
        "check": CHECK,
        "summary": SUMMARY,
        "base_model": "t5-base",
        "dataset": "nyu-mll/glue",
        "command": ["peftsearch", "run", "--space", "my space.yaml"],
        "versions": {"torch": "2.13.0"},
    }
    return CardFacts(**{**given, **more})


def front_matter(card: str) -> dict[str, Any]:
    """Return what the Hub reads between the first two lines of dashes."""
    start, front, _ = card.split("---\n", 2)
    assert start == ""
    data: dict[str, Any] = yaml.safe_load(front)
    return data


def body(card: str) -> str:
    return card.split("---\n", 2)[2]


def shown(markdown: str, kind: str = "inline") -> list[str]:
    """Return the text of every block as a reader sees it; nothing but text may be in it."""
    found = []
    for token in GITHUB.parse(markdown):
        assert token.type != "html_block"
        for child in token.children or ():
            assert child.type in ("text", "text_special", "softbreak"), (markdown, child.type)
        if token.type == kind:
            found.append("".join(child.content for child in token.children or ()))
    return found


@given(TEXTS)
def test_a_text_is_shown_as_it_is(text: str) -> None:
    wanted = one_line(text)
    assert shown(escaped(text)) == ([wanted] if wanted else [])
    assert shown(bullets([text, "x"])) == [*([wanted] if wanted else []), "x"]
    types = [token.type for token in GITHUB.parse(bullets([text, "x"]))]
    assert types.count("list_item_open") == 2
    assert types.count("bullet_list_open") == 1


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=3))
def test_a_table_has_its_cells(rows: list[tuple[str, str]]) -> None:
    found = shown(table(["a", "b|"], rows))
    assert found == ["a", "b|", *(one_line(cell) for row in rows for cell in row)]


@given(st.lists(TEXTS, max_size=4))
def test_code_ends_where_it_should(lines: list[str]) -> None:
    written = [line for text in lines for line in text.splitlines()]
    first, *rest = GITHUB.parse(code(written, "python"))
    assert (first.type, first.info, rest) == ("fence", "python", [])
    wanted = [line for line in code(written).split("\n")[1:-1]]
    assert first.content.split("\n")[:-1] == wanted
    assert len(wanted) == len(written)


def test_front_matter() -> None:
    assert front_matter(model_card(facts())) == {
        "library_name": "peft",
        "base_model": "t5-base",
        "base_model_relation": "adapter",
        "datasets": ["nyu-mll/glue"],
        "metrics": ["accuracy"],
        "tags": ["peftsearch", "peft", "adapter", "ia3", "lora"],
    }
    bare = facts(base_model="", dataset="", summary={}, check={**CHECK, "target": "native"})
    assert front_matter(model_card(bare)) == {
        "library_name": "peftsearch",
        "tags": ["peftsearch", "adapter", "ia3", "lora"],
    }
    merged = facts(check={**CHECK, "target": "merged"})
    assert front_matter(model_card(merged))["base_model_relation"] == "finetune"


def test_what_a_card_says() -> None:
    card = model_card(facts())
    for text in (
        "# me/found",
        "Found: good.",
        "| found | 700 | 80.0 % ± 1.2 (n = 3) |",
        "| best baseline: random-1 | 998 | 75.0 % ± 2.0 (n = 3) |",
        "Trained: 700 of at most 1,000 parameters (budget 1%; the frozen backbone has 100,000)",
        "```python\nmodel = load('found')\n```",
        "peftsearch run --space 'my space.yaml'",
        "With torch 2.13.0.",
        "- It may be chance.",
        "mean of 3 trainings; these weights are the first's.",
        "logits differ by at most 3.0e-07 (allowed 1e-05)",
        "layernorm trains 128 parameters instead of 64: two at once.",
    ):
        assert text in card
    assert "not trained" not in card
    assert "uniform-lora" not in card


def test_the_layers_as_a_table() -> None:
    assert layer_table(ARCHITECTURE).splitlines() == [
        "| layer | attention | cross attention | feed forward |",
        "| --- | --- | --- | --- |",
        "| encoder 0 | lora 1 (q, v) + ia3 (k) | \u2013 | \u2013 |",
        "| encoder 1 | adapter 8 (o) | \u2013 | \u2013 |",
        "| decoder 0 | \u2013 | \u2013 | \u2013 |",
    ]


def test_lower_is_better_where_the_summary_says_so() -> None:
    summary = {**SUMMARY, "higher_is_better": False}
    assert "| best baseline: uniform-lora | 990 | 70.0 % (n = 1) |" in model_card(
        facts(summary=summary)
    )


def test_without_scores_and_without_training() -> None:
    card = model_card(facts(summary={}, check={**CHECK, "trained": False}, command=()))
    assert "**The weights are not trained**" in card
    assert "best baseline" not in card
    assert "Trained: 700 of at most 1,000" in card
    assert "mean of" not in card
    no_baseline = {**SUMMARY, "baselines": {}, "headline": ""}
    assert "best baseline" not in model_card(facts(summary=no_baseline))


def test_a_folder_is_not_told_beyond_its_name() -> None:
    found = {**ARCHITECTURE, "model": "some/where/private/my-t5"}
    card = model_card(facts(base_model="", architecture=found))
    assert "each layer of my-t5 gets" in card
    assert "private" not in card


@pytest.mark.parametrize("text", NASTY)
def test_nothing_that_a_user_names_breaks_out(text: str) -> None:
    plain, nasty = facts(), copy.deepcopy(ARCHITECTURE)
    nasty |= {"model": text, "task": text, "budget": {"requested": text, "limit": 1000}}
    summary = {**SUMMARY, "headline": text, "metric": text, "alerts": [{"text": text}] * 2}
    summary |= {"baselines": {text: SUMMARY["baselines"]["random-1"]}}
    card = model_card(
        facts(
            architecture=nasty,
            summary=summary,
            base_model=text,
            dataset=text,
            command=["peftsearch", text],
            versions={text: text},
        )
    )
    front = front_matter(card)
    assert front["base_model"] == front["datasets"][0] == front["metrics"][0] == one_line(text)

    def skeleton(markdown: str) -> list[tuple[str, str]]:
        allowed = ("bullet_list", "list_item", "paragraph", "table", "t", "heading", "fence")
        tokens = GITHUB.parse(body(markdown))
        assert all(token.type.startswith(allowed) or token.type == "inline" for token in tokens)
        return [(t.type, t.tag) for t in tokens if t.type.startswith(("heading", "table", "fence"))]

    assert skeleton(card) == skeleton(model_card(plain))
    shown(body(card))
    card.encode("utf-8")
