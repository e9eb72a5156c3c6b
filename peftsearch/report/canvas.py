"""The common ground of all figures: fonts, sizes, a blank figure, PNG and SVG bytes.

Figures are built without pyplot, so nothing global changes in the process that asks for a
report, and no display is needed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from PIL import Image

from peftsearch.report.palette import FAINT, INK, PAPER
from peftsearch.report.wording import plain

DPI = 150
SMALLEST = 9.0
_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.labelsize": 9.5,
    "xtick.labelsize": SMALLEST,
    "ytick.labelsize": SMALLEST,
    "legend.fontsize": SMALLEST,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "hatch.linewidth": 0.7,
    "grid.color": "#dfe3e8",
    "grid.linewidth": 0.8,
    "svg.hashsalt": "peftsearch",
    "text.parse_math": False,
}


@contextmanager
def settings() -> Iterator[None]:
    """Apply the report's fonts and colours for the time of drawing."""
    with mpl.rc_context(_SETTINGS):
        yield


def blank(width: float, height: float, *, constrained: bool = True) -> Figure:
    """Return an empty figure, in inches."""
    layout = ConstrainedLayoutEngine() if constrained else None
    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def inches(figure: Figure) -> Axes:
    """Return axes over the whole figure whose data unit is one inch, origin bottom left."""
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    width, height = figure.get_size_inches()
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return axes


def name_text(text: object, limit: int = 40) -> str:
    """Return a name that the figure's font can draw: one line, other scripts as ``?``."""
    font = get_font(findfont("DejaVu Sans"))
    return "".join(c if font.get_char_index(ord(c)) else "?" for c in plain(text, limit))


def put(axes: Axes, patch: Patch) -> None:
    """Add a patch without letting it change the axes' limits, which here are the paper's."""
    axes.add_artist(patch)


def png(figure: Figure) -> bytes:
    """Return the figure as PNG at 150 dpi in 256 colours, which a third of the bytes hold."""
    canvas: Any = figure.canvas  # matplotlib does not annotate the Agg canvas
    canvas.draw()
    figure.set_layout_engine("none")  # laid out now, and that takes half of the time
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    buffer = io.BytesIO()
    image.quantize(256, dither=Image.Dither.NONE).save(buffer, "PNG", dpi=(DPI, DPI))
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    """Return the figure as SVG, without time stamps."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
