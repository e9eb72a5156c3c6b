"""The report as Markdown, as JSON, and only in the formats that were asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from peftsearch.catalogue import schemas
from peftsearch.report import FORMATS, write_report
from peftsearch.report.markdown import escape, fenced

from . import factory

Report = Callable[[str], Path]
NAMES = list(factory.ALL)


@pytest.mark.parametrize("name", NAMES)
def test_json_keeps_to_its_published_schema(report: Report, name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    content = _json(report(name))
    schema = json.loads(schemas()["report"].read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(content)


def _json(root: Path) -> dict[str, Any]:
    text = (root / "report" / "report.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text, parse_constant=pytest.fail)
    return content


def test_json_says_what_the_files_of_the_run_say(report: Report) -> None:
    root = report("several")
    content = _json(root)
    summary = json.loads((root / "summary.json").read_text(encoding="utf-8"))
    assert content["budget"] == summary["budget"]
    assert content["scores"][0]["values"] == summary["found"]["values"]
    assert content["search_seeds"] == [0, 1, 2, 3, 4]
    architecture = json.loads((root / "architecture.json").read_text(encoding="utf-8"))
    mine = {(c["site"], c["method"], c["size"]) for c in content["choices"]}
    assert mine == {(c["site"], c["method"], c.get("size", 0)) for c in architecture["choices"]}
    assert any(p["holds"] and "decoder" in p["sentence"] for p in content["patterns"])


@pytest.mark.parametrize("name", NAMES)
def test_markdown_holds_no_markup_of_others(report: Report, name: str) -> None:
    text = (report(name) / "report" / "report.md").read_text(encoding="utf-8")
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    inside = [child for token in tokens for child in token.children or ()]
    kinds = {token.type for token in [*tokens, *inside]}
    assert not {"html_block", "html_inline", "link_open", "em_open"} & kinds
    images = [str(child.attrs["src"]) for child in inside if child.type == "image"]
    assert set(images) <= {"figures/layer-assignment.png"}
    headings = [tokens[i + 1].content for i, t in enumerate(tokens) if t.type == "heading_open"]
    assert headings[1:5] == ["Layer assignment", "Patterns", "Scores", "Use it"]


def test_markdown_gives_every_layer_a_row(report: Report) -> None:
    text = (report("finished") / "report" / "report.md").read_text(encoding="utf-8")
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    rows = sum(token.type == "tr_open" for token in tokens)
    # heads and layers of both stacks, the head and seven scores
    assert rows == (1 + 4) + (1 + 3) + (1 + 7)


@pytest.mark.parametrize(
    "text",
    ["a|b", "*a*", "`a`", "[a](b)", "<b>", "1. a", "# a", "- a", "> a", "a_b_", "\\", "&lt;"],
)
def test_escaped_text_is_read_as_it_was(text: str) -> None:
    token = MarkdownIt("commonmark").enable("table").parse(escape(text))[1]
    assert token.type == "inline"
    assert "".join(child.content for child in token.children or ()) == text


def test_a_fence_is_longer_than_what_it_holds() -> None:
    assert fenced("a ````b", "python").splitlines()[0] == "`````python"


def test_only_what_is_asked_for_is_written(tmp_path: Path) -> None:
    root = factory.unfinished(tmp_path)
    assert write_report(root, ["md", "csv"]) == root / "report" / "report.md"
    written = {path.suffix for path in (root / "report").rglob("*.*")}
    assert written == {".md", ".csv"}
    assert write_report(root, ["svg"]) == root / "report"
    written = {path.suffix for path in (root / "report").rglob("*.*")}
    assert written == {".md", ".csv", ".svg"}


def test_everything_is_written_by_default(report: Report) -> None:
    folder = report("finished") / "report"
    assert {path.suffix[1:] for path in folder.rglob("*.*")} == set(FORMATS)
    names = {path.stem for path in (folder / "figures").glob("*.png")}
    assert names == {path.stem for path in (folder / "figures").glob("*.svg")}
