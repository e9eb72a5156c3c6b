"""A tiny table of a tiny model, and tables drawn at random."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from peftsearch.bench.build import COLUMNS, build
from peftsearch.bench.spec import RUNGS, TableSpec, read_spec
from peftsearch.bench.table import Table, at
from peftsearch.config import RunConfig
from tests.pipeline.material import build as build_material

SPACE = {
    "name": "bench-tiny",
    "description": "Twelve architectures.",
    "combine": "one",
    "sites": [
        {
            "where": {"stack": ["encoder"], "layer": [0], "part": ["attention"]},
            "candidates": [
                {"method": "lora", "modules": ["q", "v"], "sizes": [1]},
                {"method": "ia3"},
            ],
        },
        {
            "where": {"stack": ["encoder"], "layer": [0], "part": ["feed_forward"]},
            "candidates": [{"method": "adapter", "sizes": [1]}],
        },
        {
            "where": {"stack": ["decoder"], "layer": [0], "part": ["attention"]},
            "candidates": [{"method": "bitfit"}],
        },
    ],
}
SPEC: dict[str, Any] = {
    "name": "tiny",
    "description": "a model of nothing on rows of nothing",
    "task": "rte",
    "data": True,
    "seeds": 2,
    "steps": 16,
    "budgets": {"tight": 60, "loose": 150},
    "settings": {
        # Rates that change something within a few steps.
        "learning_rates": {"lora": 0.1, "ia3": 0.3, "adapter": 0.1, "bitfit": 0.1},
        "retrain": {"batch_size": 4, "checkpoint_every": 100},
        "search": {"batch_size": 4, "measured": 4, "valid_rows": 8},
    },
}


@dataclass(frozen=True)
class Tiny:
    """A table's folder with what it needs."""

    folder: Path
    model: Path
    data: Path

    @property
    def spec(self) -> TableSpec:
        """The table as it is written."""
        return read_spec(str(self.folder))

    @property
    def config(self) -> RunConfig:
        """The configuration of its trainings."""
        return self.spec.config(str(self.model), self.data)

    @property
    def words(self) -> tuple[str, ...]:
        """The options of a command that plays on it."""
        return ("--model", str(self.model), "--data", str(self.data))

    def copy(self, folder: Path, *, scores: bool = True) -> Tiny:
        """Return a copy of the table elsewhere, with or without its scores."""
        left_out = () if scores else ("scores.csv", "table.json")
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns(*left_out))
        return Tiny(folder, self.model, self.data)


def make(root: Path) -> Tiny:
    """Write model, rows and table under a folder, and build it."""
    material = build_material(root)
    folder = root / "tiny"
    folder.mkdir()
    (folder / "space.yaml").write_text(yaml.safe_dump(SPACE))
    (folder / "table.yaml").write_text(yaml.safe_dump(SPEC))
    made = Tiny(folder, material.t5, material.data)
    build(made.spec, made.config)
    return made


def random_table(seed: int) -> Table:
    """Return a table of 2 x 3 x 2 architectures with scores of few values, so that many tie."""
    rng = np.random.default_rng(seed)
    gates = [_gate(g, rng.integers(1, 50, count - 1)) for g, count in enumerate((2, 3, 2))]
    rows = []
    for chosen in np.ndindex(2, 3, 2):
        costs = [gate["candidates"][i]["num_params"] for gate, i in zip(gates, chosen, strict=True)]
        for k in range(3):
            row = dict.fromkeys(COLUMNS, 0.0) | {at(share): rng.integers(5) / 4 for share in RUNGS}
            row |= {"architecture": "-".join(map(str, chosen)), "num_params": sum(costs)}
            rows.append(row | {"seed": k, "test": rng.integers(5) / 4, "seconds": 1.0})
    space = {"name": "random", "description": "", "combine": "one", "gates": gates}
    return Table({"name": "random", "space": space}, pd.DataFrame(rows))


def _gate(place: int, costs: Any) -> dict[str, Any]:
    site = {"site": f"encoder.{place:02d}.attention", "stack": "encoder", "layer": place}
    none = {"method": "none", "size": 0, "modules": [], "num_params": 0}
    sized = [
        {"method": "lora", "size": i + 1, "modules": ["q"], "num_params": int(cost)}
        for i, cost in enumerate(costs)
    ]
    return {**site, "part": "attention", "modules": ["q"], "candidates": [none, *sized]}
