"""The figure: what can be tested of it without looking at it."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.text import Text

from peftsearch.bench.figure import draw, looks
from peftsearch.catalogue import strategies
from peftsearch.report import canvas


def result(tables: int, budgets: list[str]) -> dict[str, Any]:
    """Return what bench.json holds, with every strategy."""
    ceiling = {"percentile": 90.0, "regret": 1.5, "tau": 0.5}
    facts = {"budgets": {name: {"ceiling": ceiling} for name in budgets}}
    names = [f"table-{i}" for i in range(tables)]
    summary = [
        {
            "table": table,
            "budget": budget,
            "strategy": strategy,
            "cost": {"median": i, "lowest": i - 0.5, "highest": i + 0.2},
            "regret": {"median": i / 2, "lowest": 0.0, "highest": i},
        }
        for table in names
        for budget in budgets
        for i, strategy in enumerate(strategies())
    ]
    return {"tables": dict.fromkeys(names, facts), "summary": summary}


@pytest.mark.parametrize("tables", [1, 2])
@pytest.mark.parametrize("budgets", [["tight"], ["tight", "medium", "loose"]])
def test_panels_ceilings_and_words(tables: int, budgets: list[str]) -> None:
    with canvas.settings():
        figure = draw(result(tables, budgets))
        figure.canvas.draw()
        assert len(figure.axes) == tables * len(budgets)
        for axes in figure.axes:
            dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
            assert [list(line.get_ydata()) for line in dashed] == [[1.5, 1.5]]
            assert len(axes.containers) == len(strategies())
        page = figure.bbox
        for text in figure.findobj(Text):
            if not text.get_text() or not text.get_visible():
                continue
            assert text.get_fontsize() >= canvas.SMALLEST
        legend = figure.legends[0]
        for text in legend.get_texts():
            box = text.get_window_extent()
            assert box.x0 >= page.x0
            assert box.x1 <= page.x1
        assert canvas.png(figure)[:4] == b"\x89PNG"


def test_no_two_strategies_look_alike() -> None:
    many = looks([f"s{i}" for i in range(30)])
    assert len(set(many.values())) == 30
    first = list(looks(list(strategies())).values())
    assert len({shape for _, shape in first}) == len(first), "colour is never the only sign"
