"""What a comparison needs of each run.

Place in the flow: run directories -> **read** -> tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from peftsearch.architecture import NONE
from peftsearch.errors import ConfigError, paste
from peftsearch.report.collect import RunData, collect
from peftsearch.report.read import Reader

#: What makes a candidate the same in two runs.
KEY = ["site", "method", "modules", "size"]


@dataclass(frozen=True)
class Compared:
    """One run of a comparison.

    Attributes:
        label: A short name that no other run of the comparison has.
        data: The run.
        choices: One row per active choice: site, stack, layer, part, method, modules, size,
            num_params, share (of the parameters found, in [0, 1]).
        worth: One row per candidate that the supernet valued, ``none`` left out: the columns of
            :data:`KEY` and value, relative to choosing nothing at that gate, in deviations of the
            measured losses. Empty where the strategy has no values.
    """

    label: str
    data: RunData
    choices: pd.DataFrame
    worth: pd.DataFrame


def read(runs: Sequence[Path]) -> list[Compared]:
    """Read runs, in the order given.

    Raises:
        ConfigError: See :func:`peftsearch.compare.compare`; every problem, together.
    """
    if len({run.resolve() for run in runs}) < len(runs):
        raise ConfigError("A run is given twice.", "Give each run once.")
    if len(runs) < 2:
        raise ConfigError(f"{len(runs)} run is not enough to compare.", "Give two or more.")
    problems, found = [], []
    for run in runs:
        try:
            data = collect(run)
        except ConfigError as error:
            problems.append(error)
            continue
        if data.choices.empty:
            hint = paste("peftsearch", "run", "--resume", run)
            problems.append(ConfigError(f"{run} has found no architecture yet.", hint))
            continue
        found.append(data)
    if problems:
        raise ConfigError.collected(problems)
    names = labels([data.path for data in found])
    return [
        Compared(name, data, _choices(data), _worth(data))
        for name, data in zip(names, found, strict=True)
    ]


def labels(paths: Sequence[Path]) -> list[str]:
    """Return for each path its last parts, as many as tell it from all others."""
    whole = [path.absolute().parts for path in paths]
    for count in range(1, max(map(len, whole)) + 1):
        names = ["/".join(parts[-count:]) for parts in whole]
        if len(set(names)) == len(names):
            break
    return names


def _choices(data: RunData) -> pd.DataFrame:
    active = data.choices[data.choices["method"] != NONE].reset_index(drop=True)
    total = max(1, int(active["num_params"].sum()))
    return active.assign(share=active["num_params"] / total)


def _worth(data: RunData) -> pd.DataFrame:
    reader = Reader(data.path)
    by_gate = reader.json("search/measured.json").get("values") or []
    flat = [value for row in by_gate for value in row]
    if len(flat) != len(data.candidates):
        return pd.DataFrame(columns=[*KEY, "value"])
    rows = data.candidates.assign(value=pd.Series(flat, dtype=float).to_numpy())
    rows["modules"] = [", ".join(map(str, m)) for m in _modules(reader)]
    nothing = rows[rows["method"] == NONE].set_index("gate")["value"]
    rows["value"] -= rows["gate"].map(nothing).fillna(0.0)
    return rows.loc[rows["method"] != NONE, [*KEY, "value"]].reset_index(drop=True)


def _modules(reader: Reader) -> list[list[str]]:
    gates = reader.json("space.json").get("gates", ())
    return [c.get("modules", []) for gate in gates for c in gate["candidates"]]
