"""Write the report's files, each whole or not at all, the page last."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pandas as pd

from peftsearch.report.collect import collect
from peftsearch.report.figures import TABLES, all_names, draw_all
from peftsearch.report.html import render
from peftsearch.report.wording import valid
from peftsearch.rundir import write_bytes, write_text


def write(run_dir: Path) -> Path:
    """Write figures, tables and the page; return the page's path."""
    data = collect(run_dir)
    drawings = draw_all(data)
    page = render(data, drawings)
    folder = run_dir / "report"
    for drawing in drawings.values():
        write_bytes(folder / "figures" / f"{drawing.name}.png", drawing.png)
        write_bytes(folder / "figures" / f"{drawing.name}.svg", drawing.svg)
        _write_csv(folder / "tables" / f"{drawing.name}.csv", drawing.table)
    for name, make in TABLES.items():
        _write_csv(folder / "tables" / f"{name}.csv", make(data))
    _remove_stale(folder, set(all_names()) - set(drawings))
    path = folder / "report.html"
    write_text(path, page)
    return path


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    write_text(path, valid(table.to_csv(index=False, lineterminator="\n")))


def _remove_stale(folder: Path, names: set[str]) -> None:
    """Remove figures of an earlier report that this one does not have any more."""
    for name in sorted(names):
        for kind, suffix in (("figures", "png"), ("figures", "svg"), ("tables", "csv")):
            with suppress(FileNotFoundError):
                (folder / kind / f"{name}.{suffix}").unlink()
