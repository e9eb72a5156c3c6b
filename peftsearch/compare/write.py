"""Write a comparison: one page, its figures and tables, and the averaged architecture.

Place in the flow: tables, figures, findings -> **write** -> ``OUT/report.html``.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import pandas as pd

from peftsearch.compare import findings, tables
from peftsearch.compare.average import averaged
from peftsearch.compare.read import read
from peftsearch.compare.sections import SHARES, Section, sections
from peftsearch.errors import ConfigError
from peftsearch.report import canvas
from peftsearch.report.pages import environment
from peftsearch.report.wording import plural, valid
from peftsearch.rundir import write_bytes, write_text

ARCHITECTURE = "architecture.json"
_OURS = ("report.html", "figures", "tables", ARCHITECTURE)


def write(paths: Sequence[Path], out: Path) -> Path:
    """Write everything; see :func:`peftsearch.compare.compare`."""
    runs = read(paths)
    _check_place(out)
    found = {
        "runs": tables.overview(runs),
        "differences": tables.differences(runs),
        "overlap": tables.overlap(runs),
        "values": tables.agreement(runs),
        "choices": tables.choices(runs),
        **{f"shares-by-{key}": tables.shares(runs, key) for key in SHARES},
    }
    try:
        average, why = averaged(runs), ""
    except ConfigError as error:
        average, why = None, error.message
    with canvas.settings():
        parts = sections(found, average, why, out / ARCHITECTURE)
    for section in parts:
        for picture in section.pictures:
            write_bytes(out / "figures" / f"{picture.name}.png", picture.png)
            write_bytes(out / "figures" / f"{picture.name}.svg", picture.svg)
    for name, table in found.items():
        keep = name in ("overlap", "values")
        text = table.to_csv(index=keep, index_label="run" if keep else None, lineterminator="\n")
        write_text(out / "tables" / f"{name}.csv", valid(text))
    if average is not None:
        average.save(out / ARCHITECTURE)
    else:
        (out / ARCHITECTURE).unlink(missing_ok=True)
    page = out / "report.html"
    write_text(page, _render(found["runs"], parts))
    return page


def _check_place(out: Path) -> None:
    """Refuse a folder that holds anything but an earlier comparison."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file, not a folder.", "Choose another with --out DIR.")
    strange = [p.name for p in out.iterdir() if p.name not in _OURS] if out.is_dir() else []
    if strange:
        message = f"{out} holds something else, e.g. {min(strange)}."
        raise ConfigError(message, "Choose another folder with --out DIR.")


def _render(overview: pd.DataFrame, parts: Sequence[Section]) -> str:
    templates = environment("peftsearch.compare")
    css = resources.files("peftsearch.report").joinpath("report.css").read_text("utf-8")
    page = templates.get_template("template.html.j2").render(
        title=f"{plural(len(overview), 'run')} compared",
        answer=findings.answer(overview),
        sections=parts,
        css=templates.from_string("{{ css|safe }}").render(css=css),
    )
    return valid(page)
