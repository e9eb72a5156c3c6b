"""The architectures in a run directory as tables: found, of every search seed, and trained beside.

Place in the flow: part of collect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from peftsearch.report.read import Reader
from peftsearch.site import split_id

SITE_COLUMNS = ("site", "stack", "layer", "part")
CHOICE_COLUMNS = (*SITE_COLUMNS, "method", "size", "num_params", "modules")
SEARCH_COLUMNS = ("search", *CHOICE_COLUMNS)
TRAINED_COLUMNS = ("name", *CHOICE_COLUMNS)
CERTAINTY_COLUMNS = ("site", "share")


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Build a table that has exactly these columns, also without rows."""
    return pd.DataFrame(list(rows), columns=list(columns))


def choice_table(architecture: Mapping[str, Any]) -> pd.DataFrame:
    """Return one row per choice of the content of an ``architecture.json``."""
    rows = []
    for choice in architecture.get("choices", ()):
        stack, layer, part = split_id(choice["site"])
        place = {"stack": stack, "layer": layer, "part": part}
        modules = ", ".join(map(str, choice.get("modules", ())))
        rows.append({"size": 0, **choice, **place, "modules": modules})
    return table(rows, CHOICE_COLUMNS)


def choices(reader: Reader, name: str, content: Mapping[str, Any]) -> pd.DataFrame:
    """Return the choices of a file; empty, and noted, where it holds something else."""
    return reader.build(name, partial(choice_table, content), table((), CHOICE_COLUMNS))


def searches(
    reader: Reader, found: pd.DataFrame, seed: object, measured: Mapping[str, Any]
) -> tuple[pd.DataFrame, tuple[float, ...]]:
    """Return choices and prices of every search seed; of the one search without others.

    Args:
        reader: Of the run directory.
        found: Choices of the found architecture.
        seed: The run's own seed, as its configuration says.
        measured: Content of the run's own ``search/measured.json``.
    """
    alone = found.assign(search=seed if isinstance(seed, int) else 0)
    tables, prices = [alone], [measured.get("price")]
    folders = sorted(
        (p for p in (reader.root / "search").glob("seed-*") if p.name[5:].isdigit()),
        key=lambda folder: int(folder.name[5:]),
    )
    several, theirs = [], []
    for folder in folders:
        name = f"search/{folder.name}/architecture.json"
        content = reader.json(name)
        rows = choices(reader, name, content)
        if len(rows):
            number = int(folder.name[5:])
            several.append(rows.assign(search=number))
            # The first search is the run's own: all but its architecture lies where it always does.
            own = reader.json(f"search/{folder.name}/measured.json") if number else measured
            theirs.append(own.get("price"))
    if several:
        tables, prices = several, theirs
    numbers = [float(p) for p in prices if isinstance(p, (int, float))]
    return pd.concat(tables)[list(SEARCH_COLUMNS)].reset_index(drop=True), tuple(numbers)


def trained(reader: Reader) -> pd.DataFrame:
    """Return every architecture that was trained beside the found one, by name."""
    found = [table((), TRAINED_COLUMNS)]
    root = reader.root
    for path in sorted([*root.glob("race/*.json"), *root.glob("baselines/*/architecture.json")]):
        if path.name.endswith(".result.json"):
            continue
        name = path.relative_to(root).as_posix()
        rows = choices(reader, name, reader.json(name))
        short = name.removesuffix("/architecture.json").removesuffix(".json")
        found.append(rows.assign(name=short))
    there = [rows for rows in found if len(rows)] or found[:1]
    return pd.concat(there, ignore_index=True)[list(TRAINED_COLUMNS)]


def worth(reader: Reader, measured: Mapping[str, Any], candidates: pd.DataFrame) -> pd.Series:
    """Return the search's value of each candidate; empty where the strategy left none."""
    nothing = pd.Series(dtype=float)
    return reader.build("search/measured.json", lambda: _worth(measured, candidates), nothing)


def _worth(measured: Mapping[str, Any], candidates: pd.DataFrame) -> pd.Series:
    rows = measured.get("values") or []
    if rows and [len(row) for row in rows] != candidates.groupby("gate").size().tolist():
        raise ValueError("values do not fit space.json")
    return pd.Series([float(value) for row in rows for value in row], dtype=float)


def certainty(reader: Reader, race: Mapping[str, Any]) -> pd.DataFrame:
    """Return how certain the choice at each site is: the least of its gates."""
    return reader.build("race.json", lambda: _certainty(race), table((), CERTAINTY_COLUMNS))


def _certainty(race: Mapping[str, Any]) -> pd.DataFrame:
    rows = table(race.get("certainty") or (), CERTAINTY_COLUMNS)
    rows["share"] = pd.to_numeric(rows["share"])
    return rows.groupby("site", sort=False)["share"].min().reset_index()
