"""The options of ``bench`` and ``bench build``, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from peftsearch.bench.spec import BUDGETS
from peftsearch.cli.options import option

Strategies = Annotated[
    list[str] | None,
    option("--strategy", metavar="NAME|all", text="Who plays; repeatable. Default priced."),
]
Tables = Annotated[
    list[str] | None,
    option("--table", metavar="NAME|DIR", text="Where; repeatable. Default: all that are built."),
]
Budgets = Annotated[
    list[str] | None,
    option("--budget", metavar="|".join(BUDGETS), text="At which; repeatable. Default: all."),
]
Seeds = Annotated[int, option("--seeds", min=1, text="Searches of each. Default 5.")]
Preset = Annotated[
    str, option("--preset", text="quick, standard or thorough: what is spent. Default quick.")
]
Jobs = Annotated[
    int, option("--jobs", min=1, text="Worker processes of one thread each. Default 1.")
]
Model = Annotated[
    str | None,
    option("--model", metavar="ID|DIR", text="Model of tables that do not name a built-in one."),
]
Data = Annotated[
    Path | None, option("--data", metavar="DIR", text="Rows of tables without rows of their own.")
]
Out = Annotated[
    Path | None,
    option(
        "--out",
        metavar="DIR",
        text="Where to write, or the benchmark to go on with. Default: runs/bench-<time>.",
    ),
]
TableOut = Annotated[
    Path | None, option("--out", metavar="DIR", text="Folder of the table. Default: its own.")
]
Most = Annotated[
    int | None, option("--most", min=1, text="Train at most so many rows now. Default: all.")
]
Check = Annotated[
    int | None,
    option("--check", min=1, text="Build nothing; train so many rows again and compare."),
]
TableName = Annotated[
    str, typer.Argument(metavar="TABLE", help="A table, or a folder of one.", show_default=False)
]
