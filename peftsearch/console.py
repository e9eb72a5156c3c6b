"""Everything that is printed: the result on stdout, all the rest on stderr.

The only module that prints. Colours, bars and symbols are for terminals; elsewhere, with
``CI``, ``NO_COLOR`` or ``TERM=dumb``, lines are plain.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from rich.console import Console as RichConsole
from rich.text import Text

FORMAT_VERSION = 1
_ASCII = {
    "✓": "ok",
    "±": "+-",
    "…": "...",
    "→": "->",
    "·": "-",
    "\u2013": "-",
    "\u00d7": "x",
    "≥": ">=",
}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def is_plain(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether to leave out colours, bars and symbols on a stream."""
    wanted_plain = any(environ.get(name) for name in ("CI", "NO_COLOR"))
    return wanted_plain or environ.get("TERM") == "dumb" or not stream.isatty()


def to_plain(text: str) -> str:
    """Replace the symbols that this package uses by ASCII, and drop control characters.

    Other letters stay: they come from the user's own paths and names, and a command that is
    printed to be pasted must keep them.
    """
    for symbol, letters in _ASCII.items():
        text = text.replace(symbol, letters)
    return _CONTROL.sub("", text)


class Console:
    """Where a command writes.

    Args:
        quiet: Print nothing but the result's shortest form, warnings and errors.
        as_json: Print the result as one JSON object.
        environ: Environment variables; those of the process when absent.

    Attributes:
        muted: Print nothing at all: another process of the same run speaks.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        as_json: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        environ = os.environ if environ is None else environ
        self.muted = False
        self.quiet = quiet
        self.as_json = as_json
        self.plain = is_plain(sys.stderr, environ)
        self._plain_result = is_plain(sys.stdout, environ)
        self.rich = RichConsole(stderr=True, no_color=self.plain, highlight=False, markup=False)

    def result(self, lines: Iterable[str], brief: str = "", data: Any = None) -> None:
        """Print the result of a command on stdout, in the form that was asked for.

        Args:
            lines: For humans.
            brief: For ``--quiet``: one line; nothing is printed when it is empty.
            data: For ``--json``: a mapping; ``format_version`` is put before its keys.
        """
        if self.as_json:
            text = json.dumps({"format_version": FORMAT_VERSION, **data}, ensure_ascii=False)
        elif self.quiet:
            text = brief
        else:
            text = "\n".join(to_plain(line) if self._plain_result else line for line in lines)
        if text and not self.muted:
            _write(sys.stdout, text)

    def note(self, text: str) -> None:
        """Tell something on stderr, unless ``--quiet``."""
        if not self.quiet:
            self._tell(text)

    def warn(self, text: str) -> None:
        """Warn on stderr."""
        self._tell(f"Warning: {text}", "yellow")

    def error(self, message: str, hint: str = "") -> None:
        """Print what is wrong and, beneath, what to do about it."""
        self._tell(f"Error: {message}", "red")
        for line in hint.splitlines():
            self._tell(f"  {line}")

    def stopped(self, message: str, command: str) -> None:
        """Print where a run stopped and the command that continues it, also with ``--quiet``."""
        self._tell(f"{message.rstrip('.')}. Continue with:\n  {command}")

    def traceback(self, text: str) -> None:
        """Print a traceback, for ``--debug``."""
        self._tell(text.rstrip())

    def _tell(self, text: str, style: str = "") -> None:
        if self.muted:
            return
        if self.plain:
            _write(sys.stderr, to_plain(text))
        else:
            self.rich.print(Text(text, style=style), soft_wrap=True)


def _write(stream: TextIO, text: str) -> None:
    """Write a line, whatever the stream's encoding can hold."""
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()
