"""Every figure as drawn: large enough, within its paper, every axis with its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from peftsearch.report import canvas, figures
from peftsearch.report.collect import RunData, collect

from . import factory

PLANS = {plan.name: plan for plan in figures._PLANS}
#: Drawn in inches on blank paper: there is no axis to name.
WITHOUT_AXES = {"layer-assignment", "layer-assignment-column", "agreement", "heatmap"}


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    """A finished run with five search seeds: every figure has data."""
    return collect(factory.several(tmp_path_factory.mktemp("several")))


@pytest.fixture(scope="module")
def drawn(several: RunData) -> dict[str, Figure]:
    """Every figure, laid out."""
    found = {}
    with canvas.settings():
        for name, plan in PLANS.items():
            figure = plan.draw(several, plan.table(several))
            figure.canvas.draw()
            found[name] = figure
    return found


def texts(figure: Figure) -> Iterator[Text]:
    """What can be read in a figure."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        hidden = text.axes is not None and not text.axes.axison and text in text.axes.texts
        if text.get_text().strip() and text.get_visible() and not hidden:
            yield text


@pytest.mark.parametrize("name", PLANS)
def test_text_is_large_enough_and_on_the_paper(drawn: dict[str, Figure], name: str) -> None:
    figure = drawn[name]
    page = figure.bbox.padded(3)
    ticks = set(tick_labels(figure))  # those outside of the limits are there, and not drawn
    for text in texts(figure):
        assert text.get_fontsize() >= canvas.SMALLEST, text.get_text()
        if isinstance(text, Annotation) or text in ticks:
            continue
        box = text.get_window_extent()
        assert box.x0 >= page.x0, text.get_text()
        assert box.x1 <= page.x1, text.get_text()
        assert box.y0 >= page.y0, text.get_text()
        assert box.y1 <= page.y1, text.get_text()


def tick_labels(figure: Figure) -> Iterator[Text]:
    """Every label of a tick."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                yield from (tick.label1, tick.label2)


@pytest.mark.parametrize("name", sorted(set(PLANS) - WITHOUT_AXES))
def test_every_axis_is_named(drawn: dict[str, Figure], name: str) -> None:
    shown = [axes for axes in drawn[name].axes if axes.axison]
    assert shown
    for column in {round(axes.get_position().x0, 2) for axes in shown}:
        own = [axes for axes in shown if round(axes.get_position().x0, 2) == column]
        lowest = min(own, key=lambda axes: axes.get_position().y0)
        named = lowest.get_xlabel() or (lowest.get_ylabel() and not lowest.get_xticklabels())
        assert named, (name, column)
    values = any(axes.get_ylabel() for axes in shown)
    categories = all(_has_words(axes) for axes in shown)
    assert values or categories, name


def _has_words(axes: Axes) -> bool:
    """Whether the vertical axis lists names instead of numbers."""
    return any(any(c.isalpha() for c in t.get_text()) for t in axes.get_yticklabels())


def test_the_column_is_one_column_wide(drawn: dict[str, Figure]) -> None:
    width, height = drawn["layer-assignment-column"].get_size_inches()
    assert width <= 3.5
    assert height <= 9.5


def test_a_large_model_still_fits_on_a_page(tmp_path: Path) -> None:
    data = collect(factory.large(tmp_path))
    plan = PLANS["layer-assignment-column"]
    with canvas.settings():
        figure = plan.draw(data, plan.table(data))
    assert figure.get_size_inches()[1] < 16  # two stacks of 24 layers; a page each if need be


def test_every_figure_has_a_name_a_caption_and_a_finding(several: RunData) -> None:
    for plan in PLANS.values():
        table = plan.table(several)
        assert len(table)
        assert len(plan.alt(several, table)) > 40
        assert plan.caption.endswith(".")
