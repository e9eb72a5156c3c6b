"""The files of a benchmark: ``bench.json``, ``bench.csv`` and the figure."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from peftsearch.bench.figure import draw
from peftsearch.bench.outcome import COLUMNS
from peftsearch.report import canvas
from peftsearch.rundir import write_bytes, write_json, write_text

FIGURE = "bench"


def write(out: Path, result: dict[str, Any]) -> None:
    """Write the result of a benchmark.

    Args:
        out: The folder.
        result: Content of ``bench.json``.
    """
    write_json(out / "bench.json", result)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(result["plays"])
    write_text(out / "bench.csv", text.getvalue())
    with canvas.settings():
        figure = draw(result)
        write_bytes(out / f"{FIGURE}.png", canvas.png(figure))
        write_bytes(out / f"{FIGURE}.svg", canvas.svg(figure))
