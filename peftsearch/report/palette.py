"""How each method looks: hue, hatch and letter, the same in every figure and table.

The six Okabe-Ito hues without yellow, which is invisible on white, and a grey. They stay apart
for protan, deutan and tritan sight, and colour is never the only sign: a letter and a hatch go
with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from peftsearch.architecture import NONE
from peftsearch.report.wording import NOTHING

INK = "#1b1f24"
PAPER = "#ffffff"
FAINT = "#8a929b"
LIMIT = "#D55E00"


LineStyle = Literal["-", "--", "-.", ":"]


@dataclass(frozen=True)
class Style:
    """The look of one method.

    Attributes:
        colour: ``#rrggbb``.
        hatch: Matplotlib hatch.
        letter: One or two characters.
        line: Matplotlib line style.
    """

    colour: str
    hatch: str
    letter: str
    line: LineStyle = "-"

    @property
    def text(self) -> str:
        """Black or white, whichever reads better on the colour."""
        light = luminance(self.colour)
        on_white, on_black = 1.05 / (light + 0.05), (light + 0.05) / 0.05
        return "#000000" if on_black >= on_white else "#ffffff"

    @property
    def tint(self) -> str:
        """The colour mixed with four parts of white, a ground for dark text."""
        return "#" + "".join(f"{round(0.2 * c + 0.8 * 255):02x}" for c in rgb(self.colour))


_STYLES = {
    NONE: Style("#FFFFFF", "", NOTHING, "-"),
    "lora": Style("#0072B2", "///", "L", "-"),
    "adapter": Style("#E69F00", "...", "A", "--"),
    "parallel_adapter": Style("#5C5C5C", "xxx", "Ap", ":"),
    "prefix": Style("#009E73", "|||", "P", "-."),
    "bitfit": Style("#56B4E9", "---", "B", ":"),
    "ia3": Style("#D55E00", "\\\\\\", "I", "-"),
    "layernorm": Style("#CC79A7", "+++", "N", "--"),
}
_SPARE = (("#C8C8C8", "ooo"), ("#882255", "**"), ("#7A5C3E", "//.."), ("#000000", "OO"))


def styles(methods: Sequence[str]) -> dict[str, Style]:
    """Return the style of each method; methods of plug-ins get spare hues and free letters."""
    result: dict[str, Style] = {}
    taken = {style.letter for style in _STYLES.values()}
    for name in methods:
        known = _STYLES.get(name)
        if known is None:
            colour, hatch = _SPARE[len(set(result) - set(_STYLES)) % len(_SPARE)]
            known = Style(colour, hatch, _letter(name, taken), "-.")
            taken.add(known.letter)
        result[name] = known
    return result


def _letter(name: str, taken: set[str]) -> str:
    """One or two of the name's own letters that no other method has."""
    letters = [c for c in name if c.isascii() and c.isalnum()] or ["?"]
    first = letters[0].upper()
    choices = [
        first,
        *(first + c.lower() for c in letters[1:]),
        *(f"{first}{i}" for i in range(99)),
    ]
    return next(c for c in choices if c not in taken)


def rgb(colour: str) -> tuple[int, int, int]:
    """Return ``#rrggbb`` as three numbers from 0 to 255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2 in [0, 1]."""
    r, g, b = (linear(c / 255) for c in rgb(colour))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def linear(channel: float) -> float:
    """One sRGB channel in [0, 1] as linear light."""
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)
