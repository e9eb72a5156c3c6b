"""The page of a comparison: its sections, each with sentences, figures and a table.

Place in the flow: tables, findings, figures -> **sections** -> write.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from peftsearch.architecture import Architecture
from peftsearch.compare import figures, findings, tables
from peftsearch.errors import paste
from peftsearch.report import canvas
from peftsearch.report.tables import records
from peftsearch.report.wording import NOTHING, count, plural, spread

Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Picture:
    """A figure of the page: its file name, words, bytes and natural size in CSS pixels."""

    name: str
    title: str
    alt: str
    caption: str
    png: bytes
    svg: bytes
    width: int
    height: int

    @property
    def data(self) -> str:
        """The PNG as base64."""
        return base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class Section:
    """A section of the page: sentences, figures, a table, lines to paste."""

    id: str
    title: str
    sentences: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    caption: str = ""
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    code: Sequence[str] = ()


def sections(found: Tables, average: Architecture | None, why: str, file: Path) -> list[Section]:
    """Return the sections of the page.

    Args:
        found: Every table of the comparison by name.
        average: The averaged architecture, if there can be one.
        why: Else why not.
        file: Where it is saved.
    """
    return [
        _scores(found["runs"]),
        _differences(found),
        _alike(found["overlap"]),
        _values(found["values"]),
        Section(
            "shares",
            "Where the budget went",
            pictures=[_shares(found[f"shares-by-{key}"], key) for key in SHARES],
        ),
        _choices(found["choices"], len(found["runs"])),
        _average(average, why, file),
    ]


#: What the budget is shared out by.
SHARES = ("stack", "part", "method")


def _scores(runs: pd.DataFrame) -> Section:
    pictures = []
    if runs["gap"].notna().any():
        caption = "Diamond: mean over retraining seeds; line: 95 % interval."
        drawn = figures.draw_scores(runs)
        title = "Found against the best baseline"
        pictures = [_picture("runs", title, caption, findings.answer(runs)[0], drawn)]
    header = ("Run", "Model", "Task", "Budget", "Used of limit", "Score", "n", "Best baseline")
    return Section(
        "scores",
        "Scores",
        pictures=pictures,
        caption="Test score of each found architecture, and how far the best baseline is.",
        header=(*header, "Found minus baseline"),
        rows=[_run(row) for row in records(runs)],
    )


def _alike(overlap: pd.DataFrame) -> Section:
    said = findings.alike(overlap)
    meaning = (
        "Overlap is the share of the budget that two architectures spend alike: the sum over "
        "sites and methods of the smaller of the two shares."
    )
    drawn = figures.draw_square(
        overlap, tables.tree(overlap), 0.0, "share of the budget spent alike"
    )
    picture = _picture("overlap", "Overlap", "Ordered by average linkage.", said[0], drawn)
    return Section("alike", "How alike the architectures are", [*said, meaning], [picture])


def _values(values: pd.DataFrame) -> Section:
    said = findings.averages(values)
    drawn = figures.draw_square(values, None, -1.0, "Kendall's tau of values")
    picture = _picture("values", "Agreement of values", "One: the same order.", said, drawn)
    return Section("values", "Do the supernets agree?", [said], [picture])


def _choices(choices: pd.DataFrame, runs: int) -> Section:
    keys = ("site", "method", "runs", "tasks", "kind")
    rows = [tuple(str(r[k]) for k in keys) for r in records(choices) if r["kind"]]
    return Section(
        "choices",
        "Shared and specific choices",
        findings.shared(choices, runs),
        caption="Methods at sites that every run, one task, or the larger budgets have.",
        header=("Site", "Method", "Runs", "Tasks", "Kind") if rows else (),
        rows=rows,
    )


def _differences(found: Tables) -> Section:
    metrics = dict(zip(found["runs"]["run"], found["runs"]["metric"], strict=True))
    rows = [
        (
            str(row["run"]),
            str(row["other"]),
            findings.gap({**row, "metric": metrics[row["run"]]}),
            str(row["n"]),
        )
        for row in records(found["differences"])
    ]
    sentence = "Only runs of one task, on the same rows and with as many seeds, are compared."
    return Section(
        "differences",
        "Runs against each other",
        [sentence if rows else f"{sentence} There are no two such runs here."],
        caption="First minus second, paired by retraining seed, with 95 % intervals.",
        header=("Run", "Other", "Difference", "n") if rows else (),
        rows=rows,
    )


def _average(average: Architecture | None, why: str, file: Path) -> Section:
    title = "Their average"
    if average is None:
        return Section("average", title, [why])
    sites = len({choice.site for choice in average.active})
    return Section(
        "average",
        title,
        [
            f"The values of all runs averaged, and the knapsack solved within "
            f"{average.limit:,} parameters: {plural(sites, 'site')}, {average.num_params:,} "
            f"parameters, in {file.name}. It has not been trained."
        ],
        code=[paste("peftsearch", "show", file)],
    )


def _shares(table: pd.DataFrame, key: str) -> Picture:
    words = f"Shares of the budget by {key}"
    return _picture(f"shares-by-{key}", words, "", words, figures.draw_shares(table, key))


def _picture(name: str, title: str, caption: str, alt: str, figure: Figure) -> Picture:
    width, height = (round(96 * side) for side in figure.get_size_inches())
    png, svg = canvas.png(figure), canvas.svg(figure)
    return Picture(name, title, alt, caption, png, svg, width, height)


def _run(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(row["run"]),
        str(row["model"]),
        str(row["task"]),
        str(row["requested"]),
        f"{count(row['used'])} of {count(row['limit'])}",
        spread(row["mean"], row["sd"], str(row["metric"])),
        str(row["n"]),
        str(row["baseline"]) or NOTHING,
        findings.gap(row),
    )
