"""Tables and figures to one self-contained HTML file.

Place in the flow: collect, tables, figures -> **html** -> ``report/report.html``. Jinja2
escapes everything; the file holds no script and loads nothing.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from peftsearch.architecture import NONE
from peftsearch.catalogue import method_facts
from peftsearch.report import findings, tables, wording
from peftsearch.report.collect import RunData
from peftsearch.report.definitions import ALERT_TITLES, SEVERE, TERMS
from peftsearch.report.figures import Drawing
from peftsearch.report.loading import apply_lines, exports, shown_path
from peftsearch.report.pages import environment
from peftsearch.report.palette import styles
from peftsearch.site import PARTS


@dataclass(frozen=True)
class Cell:
    """One choice in the table of layers.

    Attributes:
        letter: Letter of the method.
        method: Its name.
        size: ``""`` where the method has no size.
        params: Trained parameters, with thousands separated.
        slug: Class name for its colour.
    """

    letter: str
    method: str
    size: str
    params: str
    slug: str


def render(data: RunData, drawings: Mapping[str, Drawing]) -> str:
    """Return the whole HTML text.

    Args:
        data: The run.
        drawings: Figures by name; missing ones are replaced by a sentence.
    """
    templates = environment("peftsearch.report")
    templates.filters.update(
        count=wording.count,
        percent=wording.percent,
        duration=wording.seconds,
        bytes=wording.size,
        label=wording.label,
    )
    methods = tables.method_names(data)
    text = templates.get_template("template.html.j2").render(
        data=data,
        facts=data.facts,
        title=_title(data),
        headline=findings.headline(data),
        verdict=findings.verdict(data),
        tiles=_tiles(data),
        budget=findings.budget_line(data.facts),
        command=_command(data.facts.command),
        run=shown_path(data.path),
        alerts=[_alert(code, text) for code, text in findings.alerts(data)],
        drawings=drawings,
        images={n: base64.b64encode(d.png).decode("ascii") for n, d in drawings.items()},
        looks={_slug(i): style for i, style in enumerate(styles(methods).values())},
        legend=_legend(methods),
        towers=_towers(data, methods),
        patterns=findings.pattern_sentences(data),
        no_patterns=findings.no_patterns(data),
        asked=[_asked(row) for row in tables.records(data.patterns)],
        shares={key: tables.budget_by(data, key) for key in ("stack", "part", "method")},
        scores=_scores(data),
        race=_race(data),
        cost=tables.cost(data).query("stage != 'report'"),  # this stage is still running
        exports=exports(data),
        apply_lines=apply_lines(data),
        relative=not Path(shown_path(data.path)).is_absolute(),
        settings=_flat(data.config),
        raw_config=yaml.safe_dump(dict(data.config), sort_keys=False, allow_unicode=True),
        environment=_flat({k: data.manifest.get(k) for k in _ENVIRONMENT if k in data.manifest}),
        terms=TERMS,
    )
    return wording.valid(text)


_ENVIRONMENT = ("created", "versions", "hardware", "data", "seeds")


def _title(data: RunData) -> str:
    facts = data.facts
    model, task = (_last_name(name) or "unknown" for name in (facts.model, facts.task))
    parts = [model, f"on {task}"]
    return " ".join([*parts, *([f"within {facts.requested}"] if facts.requested else [])])


def _last_name(name: str) -> str:
    """Return a name short enough for a heading: of a folder or file, its last part."""
    path = name.replace("\\", "/").rstrip("/")
    is_id = path.count("/") < 2 and not path.startswith((".", "/", "~"))
    return wording.plain(path if is_id else path.rsplit("/", 1)[-1], 60)


def _command(words: tuple[str, ...]) -> str:
    """Return the command as it is typed, also when it was started as a module."""
    started = words and Path(words[0]).name in {"__main__.py", "peftsearch"}
    return shlex.join(["peftsearch", *words[1:]] if started else words)


def _alert(code: str, text: str) -> dict[str, Any]:
    title = ALERT_TITLES.get(code, code.replace("_", " ").capitalize())
    return {"title": title, "text": text, "severe": code in SEVERE}


def _tiles(data: RunData) -> list[dict[str, str]]:
    """The figures of the first screen: found, best baseline, parameters."""
    facts = data.facts
    tiles = []
    for label, row in (
        ("Found architecture", tables.found_score(data)),
        ("Best baseline, same budget", tables.best_baseline(data)),
    ):
        if row is None:
            tiles.append({"label": label, "value": wording.NOTHING, "note": "no test score yet"})
            continue
        sd = None if pd.isna(row["sd"]) else float(row["sd"])
        note = f"{facts.metric} on test, n = {int(row['n'])}"
        name = "" if row["kind"] == "found" else f"{row['name']}: "
        value = wording.spread(float(row["mean"]), sd, facts.metric)
        tiles.append({"label": label, "value": value, "note": name + note})
    used = wording.NOTHING if facts.used is None else wording.count(facts.used)
    limit = "not counted yet" if facts.limit is None else f"of {wording.count(facts.limit)}"
    if facts.used is not None and facts.limit:
        limit += f" allowed ({wording.percent(facts.used / facts.limit, 2)})"
    if facts.head:
        limit += f"; head {wording.count(facts.head)} apart"
    tiles.append({"label": "Trained parameters", "value": used, "note": limit})
    return tiles


def _slug(index: int) -> str:
    return f"m{index}"


def _legend(methods: list[str]) -> list[dict[str, str]]:
    cards, looks = method_facts(), styles(methods)
    return [
        {
            "slug": _slug(index),
            "letter": looks[name].letter,
            "name": name,
            "title": cards[name].title if name in cards else "",
            "reference": cards[name].reference if name in cards else "",
        }
        for index, name in enumerate(methods)
    ]


def _towers(data: RunData, methods: list[str]) -> list[dict[str, Any]]:
    """The layer assignment as one table per stack, top layer first as in the figure."""
    table = tables.layer_assignment(data)
    result = []
    for stack in tables.ordered(table["stack"], tables.STACKS):
        rows = table[table["stack"] == stack]
        parts = tables.ordered(rows["part"], PARTS)
        layers = []
        for layer in sorted({int(n) for n in rows["layer"]}, reverse=True):
            here = rows[rows["layer"] == layer]
            cells = [_cells(here[here["part"] == part], methods) for part in parts]
            total = wording.count(int(here["num_params"].sum()))
            layers.append({"number": layer, "cells": cells, "total": total})
        labels = [part.replace("_", "-") for part in parts]
        result.append({"stack": stack, "parts": labels, "layers": layers})
    return result


def _cells(rows: pd.DataFrame, methods: list[str]) -> list[Cell] | None:
    """Choices at one site; empty list for an empty site, ``None`` where there is no site."""
    if rows.empty:
        return None
    looks, cards = styles(methods), method_facts()
    cells = []
    for row in tables.records(rows[rows["method"] != NONE]):
        name = str(row["method"])
        sized = cards[name].sized if name in cards else int(row["size"]) > 1
        size = str(row["size"]) if sized else ""
        params = wording.count(int(row["num_params"]))
        cells.append(Cell(looks[name].letter, name, size, params, _slug(methods.index(name))))
    return cells


def _scores(data: RunData) -> list[dict[str, Any]]:
    metric = data.facts.metric
    rows = []
    for row in tables.records(tables.scores(data)):
        own = data.values.loc[data.values["name"] == row["name"], "value"]
        rows.append(
            {
                "name": str(row["name"]),
                "found": row["kind"] == "found",
                "score": wording.spread(row["mean"], row["sd"], metric),
                "n": wording.count(row["n"]),
                "difference": wording.difference(row["difference"], metric),
                "values": ", ".join(wording.score(value, metric) for value in own),
                "params": wording.count(row["num_params"]),
            }
        )
    return rows


def _asked(row: dict[str, Any]) -> dict[str, Any]:
    """One question of the patterns, in words."""

    def number(value: Any) -> str:
        """Three figures are enough beside a spread."""
        return wording.NOTHING if pd.isna(value) else f"{float(value):.3g}"

    sd = "" if pd.isna(row["sd"]) else f" ± {float(row['sd']):.2g}"
    return {
        "name": str(row["name"]),
        "mean": number(row["mean"]) + sd,
        "n": int(row["n"]),
        "chance": number(row["chance"]),
        "p": number(row["adjusted"]),
        "holds": bool(row["holds"]),
    }


def _race(data: RunData) -> list[dict[str, Any]]:
    return [
        {
            "name": str(row["name"]),
            "source": str(row["source"]),
            "score": wording.score(row["score"], data.facts.metric),
            "steps": wording.count(row["steps"]),
            "params": wording.count(row["num_params"]),
            "summary": str(row["summary"]),
            "winner": bool(row["winner"]),
        }
        for row in tables.records(tables.race(data))
    ]


def _flat(values: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as ``a.b`` and text, in the order of the file."""
    if isinstance(values, Mapping):
        return [
            row
            for key, value in values.items()
            for row in _flat(value, f"{prefix}.{key}" if prefix else str(key))
        ]
    if isinstance(values, list):
        return [(prefix, ", ".join(map(str, values)) or wording.NOTHING)]
    return [(prefix, wording.NOTHING if values is None else str(values))]
