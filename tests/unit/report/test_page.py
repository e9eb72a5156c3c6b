"""The HTML page, parsed."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from peftsearch.report import write_report

from . import factory
from .page import Page

Report = Callable[[str], Path]
NAMES = list(factory.ALL)


def load(root: Path) -> Page:
    """Parse the report of a run."""
    return Page((root / "report" / "report.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_the_page_is_well_formed_and_holds_no_script(report: Report, name: str) -> None:
    page = load(report(name))
    assert page.unbalanced == []
    assert page.open == []
    assert page.named("script") == []
    for tag, attributes in page.tags:
        assert not [a for a in attributes if a.startswith("on")], tag
        for key in ("src", "href"):
            value = attributes.get(key, "#")
            assert value.startswith(("data:", "#")), value[:80]
    assert re.findall(r"url\(|@import", page.source) == []
    assert "undefined" not in page.text.lower()


@pytest.mark.parametrize("name", NAMES)
def test_the_page_can_be_read_by_a_screen_reader(report: Report, name: str) -> None:
    page = load(report(name))
    levels = [level for level, _ in page.headings]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all(text.strip() for _, text in page.headings)
    assert page.named("html")[0]["lang"] == "en"
    for landmark in ("header", "nav", "main", "footer"):
        assert len(page.named(landmark)) == 1
    for image in page.named("img"):
        assert len(image["alt"]) > 40
    assert all(cell.get("scope") in {"row", "col"} for cell in page.named("th"))
    assert len(page.named("caption")) == len(page.named("table"))
    identifiers = [a["id"] for _, a in page.tags if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    for link in page.named("a"):
        assert link["href"][1:] in identifiers


@pytest.mark.parametrize("name", NAMES)
def test_the_page_is_small(report: Report, name: str) -> None:
    assert (report(name) / "report" / "report.html").stat().st_size < 3_000_000


@pytest.mark.parametrize("name", NAMES)
def test_each_figure_has_its_numbers_beside_it(report: Report, name: str) -> None:
    folder = report(name) / "report"
    figures = {path.stem for path in (folder / "figures").glob("*.png")}
    assert figures
    assert figures <= {path.stem for path in (folder / "tables").glob("*.csv")}
    page = load(report(name))
    # the one for a column of a paper stands in for the wide one on a narrow screen
    assert len(page.named("img")) == len(figures - {"layer-assignment-column"})
    assert len(page.named("source")) == len(figures & {"layer-assignment-column"})
    assert all(s["srcset"].startswith("data:image/png;base64,") for s in page.named("source"))
    assert not list(folder.rglob(".tmp*"))


def test_the_first_lines_answer(report: Report) -> None:
    page = load(report("finished"))
    top = page.text.split("Alerts (")[0]
    for part in ("84.1 % \u00b1 0.6", "n = 3", "uniform-lora", "5,264", "5,281"):
        assert part in top
    assert "peftsearch run --model micro-t5 --task micro-nli --budget 1%" in top


def test_a_baseline_that_won_is_in_the_first_line(report: Report) -> None:
    text = load(report("baseline_won")).text
    assert "A baseline won: uniform-lora with 81.1 %" in text.split("Found architecture")[0]
    assert "A baseline is better" in text


def test_an_unfinished_run_says_what_is_missing(report: Report) -> None:
    text = load(report("unfinished")).text
    assert "This run is not finished: search, discretise" in text
    for part in (
        "No architecture has been chosen yet",
        "no test score",
        "Nothing has been exported",
    ):
        assert part in text


def test_one_seed_is_said(report: Report) -> None:
    text = load(report("one_seed")).text
    assert "One seed only" in text
    assert "\u00b1" not in text.split("Alerts (")[0]


def test_the_head_is_counted_apart(report: Report) -> None:
    assert "head 1,538 apart" in load(report("encoder_only")).text


def test_hostile_text_is_shown_and_does_nothing(report: Report) -> None:
    page = load(report("hostile"))
    assert factory.HOSTILE in page.text
    assert "{{ 7*7 }}" in page.text
    assert all("pwned" not in "".join(a.keys()) for _, a in page.tags)
    assert "<script" not in page.source


def test_the_lines_that_load_an_export_are_python(report: Report) -> None:
    for name in ("finished", "hostile", "encoder_only"):
        page = load(report(name))
        block = re.search(r"import peftsearch\n\nmodel = .*", page.text)
        assert block is not None
        compile(block.group(), "report", "exec")
        assert (report(name) / "export" / "native").as_posix() in block.group()


def test_reasons_are_given_by_site(report: Report) -> None:
    text = load(report("finished")).text
    assert "PEFT has no place for it" in text
    assert "encoder.00.feed_forward" in text


def test_lines_of_the_exporter_come_first(tmp_path: Path) -> None:
    root = factory.unfinished(tmp_path)
    check = {"format": 1, "target": "peft", "verified": True, "load": ["import peft", "x = 1"]}
    factory.write(root / "export/peft/check.json", check)
    write_report(root)
    assert "import peft\nx = 1" in load(root).text


def test_lines_of_a_run_that_was_moved_name_where_it_lies_now(tmp_path: Path) -> None:
    root = factory.unfinished(tmp_path)
    lines = ["import peftsearch", "model = peftsearch.load('somewhere/run/export/native')"]
    check = {"format": 1, "target": "native", "verified": True, "load": lines}
    factory.write(root / "export/native/check.json", check)
    write_report(root, ["html"])
    text = load(root).text
    assert "somewhere" not in text
    assert f"peftsearch.load('{root / 'export' / 'native'}')" in text


def test_patterns_are_sentences_or_nothing_certain(report: Report) -> None:
    one, several = load(report("finished")).text, load(report("several")).text
    assert "Nothing certain was found." in one
    assert "There is one search seed" in one
    assert "Nothing certain was found." not in several
    assert "of the budget goes to the decoder (5 search seeds)" in several


def test_a_second_report_is_the_same_and_drops_stale_figures(tmp_path: Path) -> None:
    root = factory.unfinished(tmp_path)
    write_report(root)
    first = (root / "report/report.html").read_bytes()
    stale, own = root / "report/figures/heatmap.png", root / "report/figures/mine.png"
    stale.write_bytes(b"old")
    own.write_bytes(b"kept")
    write_report(root)
    assert (root / "report/report.html").read_bytes() == first
    assert not stale.exists()
    assert own.exists()


def test_the_report_needs_no_torch(tmp_path: Path) -> None:
    root = factory.unfinished(tmp_path)
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None\n"
        "from pathlib import Path; from peftsearch.report import write_report\n"
        f"write_report(Path({str(root)!r}))"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)
