"""The page of a study: ``report/tune.html`` with its figures, and the table of importance.

Place in the flow: results, figures -> **page**. In the form of a comparison's page.
"""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import optuna
from matplotlib.figure import Figure

from peftsearch.compare.sections import Picture, Section
from peftsearch.errors import paste
from peftsearch.report import canvas
from peftsearch.report.pages import environment
from peftsearch.report.wording import NOTHING, count, valid
from peftsearch.rundir import write_bytes, write_text
from peftsearch.tune import figures
from peftsearch.tune.desk import Desk
from peftsearch.tune.results import Row, rows_of

#: Fewer complete trials say nothing about what matters.
LEAST = 4


def write_page(out: Path, desks: Sequence[Desk], found: Mapping[str, Any]) -> Path:
    """Write the page, its figures as PNG and SVG, and the table of importance."""
    folder = out / "report"
    shares = importance(desks[0])
    with canvas.settings():
        parts = sections(out, desks[0], found, shares)
    for picture in (picture for part in parts for picture in part.pictures):
        write_bytes(folder / "figures" / f"{picture.name}.png", picture.png)
        write_bytes(folder / "figures" / f"{picture.name}.svg", picture.svg)
    write_text(folder / "tables" / "importance.csv", _table(("key", "share"), shares.items()))
    path = folder / "tune.html"
    write_text(path, _render(found, parts))
    return path


def importance(desk: Desk) -> dict[str, float]:
    """Return the share of the score's variance that each key explains, by fANOVA.

    Empty where too few trials are complete, or all have the same score.
    """
    complete = [row for row in rows_of(desk) if row.state == "complete"]
    if len(complete) < LEAST or len({row.score for row in complete}) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=desk.plan.base.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = optuna.importance.get_param_importances(
            desk.study, evaluator=evaluator, target=lambda trial: trial.values[0]
        )
    return {name: float(share) for name, share in found.items()}


def sections(
    out: Path, desk: Desk, found: Mapping[str, Any], shares: Mapping[str, float]
) -> list[Section]:
    """Return the sections of the page."""
    rows = rows_of(desk)
    parts = [_best(out, found), _history(rows)]
    if found["front"]:
        parts.append(_front(rows, found))
    return [*parts, _importance(shares), _baselines(found), _trials(desk, rows), _failed(rows)]


def _best(out: Path, found: Mapping[str, Any]) -> Section:
    best = found["best"]
    if best is None:
        return Section("best", "Best settings", ["No trial came to its end."])
    return Section(
        "best",
        "Best settings",
        [
            "Chosen by the score on the selection split of a short training from scratch; the "
            "test split was not looked at. The best of many is luckier than it is good: run it."
        ],
        caption="What the best trial was given.",
        header=("Key", "Value"),
        rows=[(key, _shown(value)) for key, value in best["params"].items()],
        code=[paste("peftsearch", "run", "--config", out / "best.yaml")],
    )


def _history(rows: Sequence[Row]) -> Section:
    done = [row for row in rows if row.state == "complete"]
    words = f"{len(done)} of {len(rows)} trials came to the last rung."
    pictures = []
    if done:
        caption = "A pruned trial stands where it was stopped, after a shorter training."
        figure = figures.draw_history(rows)
        pictures = [_picture("history", "History", words, caption, figure)]
    return Section("history", "History", [words], pictures)


def _front(rows: Sequence[Row], found: Mapping[str, Any]) -> Section:
    words = f"{len(found['front'])} trials are not beaten in both score and parameters."
    picture = _picture("front", "Front", words, words, figures.draw_front(rows))
    return Section(
        "front",
        "Score and parameters",
        [words + " Their settings are in pareto/."],
        [picture],
        caption="The front, smallest first.",
        header=("Trial", "Parameters", "Score"),
        rows=[
            (str(r["trial"]), count(r["num_params"]), f"{r['score']:.4f}") for r in found["front"]
        ],
    )


def _importance(shares: Mapping[str, float]) -> Section:
    title = "What mattered"
    if not shares:
        words = "Too few trials are complete, or all scored the same: nothing can be said."
        return Section("importance", title, [words])
    first = next(iter(shares))
    words = f"{first} explains most: {100 * shares[first]:.0f} % of the variance of scores."
    caption = "By fANOVA over the complete trials; with few of them this is a rough guess."
    picture = _picture("importance", title, words, caption, figures.draw_importance(shares))
    return Section(
        "importance",
        title,
        [words],
        [picture],
        caption="Share of the variance.",
        header=("Key", "Share"),
        rows=[(name, f"{100 * share:.1f} %") for name, share in shares.items()],
    )


def _baselines(found: Mapping[str, Any]) -> Section:
    rows = []
    for name, study in {"search": found, **found["baselines"]}.items():
        best = study["best"]
        score = NOTHING if best is None else f"{best['score']:.4f}"
        rows.append((name, str(study["trials"]), f"{study['seconds']:,.0f}", score))
    return Section(
        "baselines",
        "Were the baselines tuned?",
        [found["fairness"]],
        caption="Trials, seconds, and the best score on the selection split.",
        header=("What", "Trials", "Seconds", "Best score") if found["baselines_tuned"] else (),
        rows=rows,
    )


def _trials(desk: Desk, rows: Sequence[Row]) -> Section:
    keys = [each.key for each in desk.plan.space]
    shown = [
        (
            str(row.number),
            row.state,
            NOTHING if row.score is None else f"{row.score:.4f}",
            count(row.num_params),
            f"{row.seconds:,.0f}",
            *(_shown(row.params.get(key, NOTHING)) for key in keys),
        )
        for row in rows
    ]
    header = ("Trial", "State", "Score", "Parameters", "Seconds", *keys)
    words = "Every number is in trials.csv."
    return Section("trials", "Trials", [words], caption="By number.", header=header, rows=shown)


def _failed(rows: Sequence[Row]) -> Section:
    failed = [(str(r.number), "; ".join((*r.attempts, r.reason))) for r in rows if r.reason]
    again = [(str(r.number), "; ".join(r.attempts)) for r in rows if r.attempts and not r.reason]
    words = f"{len(failed)} trials failed; {len(again)} were begun again and went on."
    return Section(
        "failures",
        "Failures",
        [words],
        caption="Trials that failed or were begun again, and why.",
        header=("Trial", "Why") if failed or again else (),
        rows=[*failed, *again],
    )


def _picture(name: str, title: str, alt: str, caption: str, figure: Figure) -> Picture:
    width, height = (round(96 * side) for side in figure.get_size_inches())
    return Picture(name, title, alt, caption, canvas.png(figure), canvas.svg(figure), width, height)


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(header: Sequence[str], rows: Any) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([header, *rows])
    return buffer.getvalue()


def _render(found: Mapping[str, Any], parts: Sequence[Section]) -> str:
    templates = environment("peftsearch.tune")
    css = resources.files("peftsearch.report").joinpath("report.css").read_text("utf-8")
    best = found["best"]
    answer = [
        f"Trial {best['trial']} of {found['trials']} is the best: {best['score']:.4f} on the "
        f"selection split with {best['num_params']:,} parameters."
        if best is not None
        else f"None of {found['trials']} trials came to its end.",
        found["fairness"],
    ]
    page = templates.get_template("template.html.j2").render(
        title=f"The study {found['study']}",
        answer=answer,
        sections=parts,
        css=templates.from_string("{{ css|safe }}").render(css=css),
    )
    return valid(page)
