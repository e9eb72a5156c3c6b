"""Write the report's files, each whole or not at all, the page last."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

import pandas as pd

from peftsearch.report.collect import collect
from peftsearch.report.document import document
from peftsearch.report.figures import TABLES, Drawing, all_names, draw_all
from peftsearch.report.html import render
from peftsearch.report.markdown import render as render_markdown
from peftsearch.report.wording import valid
from peftsearch.rundir import write_bytes, write_json, write_text


def write(run_dir: Path, formats: Collection[str]) -> Path:
    """Write what was asked for; return the path of the first page, or of the folder."""
    data = collect(run_dir)
    pixels = not {"html", "png"}.isdisjoint(formats)
    drawings = draw_all(data, pixels=pixels, vectors="svg" in formats)
    folder = run_dir / "report"
    _write_figures(folder, drawings, formats)
    if "csv" in formats:
        for drawing in drawings.values():
            _write_csv(folder / "tables" / f"{drawing.name}.csv", drawing.table)
        for name, make in TABLES.items():
            _write_csv(folder / "tables" / f"{name}.csv", make(data))
    if "json" in formats:
        write_json(folder / "report.json", document(data, drawings))
    if "md" in formats:
        write_text(folder / "report.md", render_markdown(data, drawings))
    if "html" in formats:
        write_text(folder / "report.html", render(data, drawings))
    pages = {"html": "report.html", "md": "report.md", "json": "report.json"}
    return next((folder / page for name, page in pages.items() if name in formats), folder)


def _write_figures(folder: Path, drawings: Mapping[str, Drawing], formats: Collection[str]) -> None:
    for drawing in drawings.values():
        if "png" in formats:
            write_bytes(folder / "figures" / f"{drawing.name}.png", drawing.png)
        if "svg" in formats:
            write_bytes(folder / "figures" / f"{drawing.name}.svg", drawing.svg)
    _remove_stale(folder, set(all_names()) - set(drawings))


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    write_text(path, valid(table.to_csv(index=False, lineterminator="\n")))


def _remove_stale(folder: Path, names: set[str]) -> None:
    """Remove figures of an earlier report that this one does not have any more."""
    for name in sorted(names):
        for kind, suffix in (("figures", "png"), ("figures", "svg"), ("tables", "csv")):
            with suppress(FileNotFoundError):
                (folder / kind / f"{name}.{suffix}").unlink()
