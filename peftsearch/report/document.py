"""The report as data: the content of ``report.json``, for other programs.

Place in the flow: collect, tables, findings -> **document** -> ``report/report.json``. Its schema
is published: ``peftsearch config schema report``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from peftsearch.report import findings, share_tables, tables
from peftsearch.report.collect import RunData
from peftsearch.report.figures import Drawing
from peftsearch.report.gate_tables import gate_scores
from peftsearch.report.loading import exports

FORMAT = 1


def document(data: RunData, drawings: Mapping[str, Drawing]) -> dict[str, Any]:
    """Return the content of ``report.json``; what is not known yet is ``null`` or empty."""
    facts = data.facts
    scores = gate_scores(data)
    last = scores[scores["step"] == scores["step"].max()]
    content = {
        "format": FORMAT,
        "model": facts.model,
        "task": facts.task,
        "metric": facts.metric,
        "higher_is_better": facts.higher_is_better,
        "command": list(facts.command),
        "unfinished": data.unfinished,
        "headline": findings.headline(data),
        "budget": {
            "requested": facts.requested,
            "limit": facts.limit,
            "used": facts.used,
            "denominator": facts.denominator,
            "head": facts.head,
        },
        "scores": _scores(data),
        "alerts": [{"code": code, "text": text} for code, text in findings.alerts(data)],
        "choices": _choices(data),
        "search_seeds": sorted(map(int, pd.to_numeric(data.searches["search"]).unique())),
        "shares": tables.records(share_tables.budget_shares(data)),
        "patterns": _patterns(data),
        "gate_scores": tables.records(last),
        "exports": _exports(data),
        "cost": tables.records(tables.cost(data).drop(columns="share")),
        "figures": [
            {"name": d.name, "title": d.title, "finding": d.alt} for d in drawings.values()
        ],
    }
    plain: dict[str, Any] = _plain(content)
    return plain


def _scores(data: RunData) -> list[dict[str, Any]]:
    values = data.values.groupby("name", sort=False)["value"].agg(list)
    return [
        {**row, "values": values.get(row["name"], [])}
        for row in tables.records(tables.scores(data))
    ]


def _choices(data: RunData) -> list[dict[str, Any]]:
    """The layer assignment; ``sure`` is how certain the choice at the site is."""
    table = share_tables.confidence(data)
    sure = dict(zip(table["site"], table["share"], strict=True))
    return [
        {**row, "modules": str(row["modules"]).split(", ") if row["modules"] else [],
         "sure": sure.get(row["site"])}
        for row in tables.records(tables.layer_assignment(data))
    ]  # fmt: skip


def _patterns(data: RunData) -> list[dict[str, Any]]:
    keys = ("topic", "name", "mean", "sd", "n", "chance", "holds", "sentence")
    return [
        {**{key: row[key] for key in keys}, "p": row["adjusted"]}
        for row in tables.records(data.patterns)
    ]


def _exports(data: RunData) -> list[dict[str, Any]]:
    return [
        {
            "target": export.target,
            "verified": export.verified,
            "status": export.status,
            "load": export.lines,
            "problems": tables.records(export.problems.drop(columns="target")),
        }
        for export in exports(data)
    ]


def _plain(value: Any) -> Any:
    """Return only what JSON knows: no NaN, no types of numpy or pandas."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if hasattr(value, "item"):
        value = value.item()
    if value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value if isinstance(value, str | int | float | bool) else str(value)
