"""Any text as Markdown that shows just that text, as CommonMark and GitHub read it."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: Starts or ends something anywhere in a line.
_ANYWHERE = re.compile(r"[\\`*_\[\]<>|~&$#]")
#: Starts a list, a heading's underline or a rule at the beginning of a line.
_AT_START = re.compile(r"^(\d{1,9}(?=[.)](?: |$))|(?=[-+=](?:[-+= ]|$)))")
#: Control characters, halves of surrogate pairs, and marks that turn the direction of writing.
_HIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def one_line(text: object) -> str:
    """Return a text as one line without hidden characters."""
    return " ".join(_HIDDEN.sub(" ", str(text)).split())


def escaped(text: object) -> str:
    """Return one line of Markdown that shows a text as it is."""
    line = _ANYWHERE.sub(r"\\\g<0>", one_line(text))
    return _AT_START.sub(r"\1\\", line)


def table(head: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """Return a table; every cell is escaped."""
    lines = [list(map(escaped, head)), ["---"] * len(head), *(map(escaped, row) for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def bullets(texts: Sequence[object]) -> str:
    """Return a list; every entry is escaped."""
    return "\n".join(f"- {escaped(text)}" for text in texts)


def code(lines: Sequence[str], language: str = "") -> str:
    """Return a block of code, fenced by more backticks than any line holds."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([fence + language, *(_HIDDEN.sub("", line) for line in lines), fence])
