"""Numbers as text, the same everywhere in the report."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

from peftsearch import shown

#: What stands where there is no number: an en dash.
NOTHING = "\u2013"


def count(value: float | None) -> str:
    """Return a whole number with thousands separated, ``2,229,035``; ``-`` for nothing."""
    return NOTHING if _absent(value) else f"{round(float(value or 0)):,}"


def short(value: float) -> str:
    """Return a number of parameters in at most five characters, e.g. ``768``, ``24.6k``."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            scaled = value / size
            return f"{scaled:.0f}{unit}" if abs(scaled) >= 100 else f"{scaled:.3g}{unit}"
    return f"{value:.0f}"


def percent(share: float, digits: int = 1) -> str:
    """Return a share in [0, 1] as per cent; shares below the last digit keep two figures."""
    if _absent(share):
        return NOTHING
    value = 100 * share
    if value and abs(value) < 10**-digits:
        return f"{value:.2g} %"
    return f"{value:.{digits}f} %"


def score(value: float | None, metric: str) -> str:
    """Return a score: ``71.2 %`` for accuracy and the like, ``0.712`` for correlations."""
    return NOTHING if _absent(value) else shown.score(float(value or 0), metric)


def spread(value: float | None, sd: float | None, metric: str) -> str:
    """Return ``71.2 % ± 1.0``; without ``±`` where there is no standard deviation."""
    if _absent(value):
        return NOTHING
    return shown.spread(float(value or 0), None if _absent(sd) else float(sd or 0), metric)


def difference(value: float | None, metric: str) -> str:
    """Return a signed difference of two scores, in points for metrics shown in per cent."""
    if _absent(value):
        return NOTHING
    return shown.figure(float(value or 0), metric, sign="+")


def seconds(value: float | None) -> str:
    """Return a duration: ``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 14 min``."""
    if _absent(value):
        return NOTHING
    total = float(value or 0)
    if total < 60:
        return f"{total:.1f} s" if total < 10 else f"{total:.0f} s"
    minutes, rest = divmod(round(total), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(value: float | None) -> str:
    """Return bytes in binary units, e.g. ``412 MiB``."""
    if _absent(value) or not value:
        return NOTHING
    number = float(value)
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def plural(number: int, noun: str) -> str:
    """Return ``1 site`` or ``3 sites``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def label(part: object) -> str:
    """Return the name of a part as it is written in a sentence, ``feed-forward``."""
    return str(part).replace("_", "-")


def listed(names: Sequence[str], most: int) -> str:
    """Return names in a row, from the first ``most`` on only how many: ``a, b and 3 more``."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def plain(text: object, limit: int = 40) -> str:
    """Return one line of text fit for a figure: no control characters, at most ``limit`` long."""
    kept = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in str(text))
    line = " ".join(kept.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def valid(text: str) -> str:
    """Return text that UTF-8 can hold: lone surrogates from JSON escapes are replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _absent(value: float | None) -> bool:
    return value is None or math.isnan(value)
