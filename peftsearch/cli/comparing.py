"""``compare``: several runs in one report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from peftsearch.cli import options as o
from peftsearch.cli.session import session
from peftsearch.errors import ConfigError

Runs = Annotated[
    list[Path] | None,
    typer.Argument(metavar="RUN...", help="Run directories.", show_default=False),
]
Pattern = Annotated[
    str | None,
    o.option("--glob", metavar="PATTERN", text="Runs by a pattern, e.g. 'runs/rte-*'."),
]
Out = Annotated[
    Path,
    o.option("--out", metavar="DIR", text="Where to write."),
]


def compare(
    runs: Runs = None,
    pattern: Pattern = None,
    out: Out = Path("comparison"),
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Lay several runs side by side.

    Scores with paired differences, how alike the architectures are, what is
    shared, and an averaged architecture. Reads the runs' files alone.
    """
    with session(quiet=quiet, as_json=as_json, debug=debug) as current:
        from peftsearch.compare import compare as write

        page = write([*(runs or []), *_matching(pattern)], out)
        data = {"report": str(page)}
        current.console.result([f"Report: {page}"], brief=str(page), data=data)


def _matching(pattern: str | None) -> list[Path]:
    """Return the run directories that a pattern names, by name."""
    if pattern is None:
        return []
    root = Path(pattern).anchor
    inside = pattern[len(root) :] if root else pattern
    found = sorted(p for p in Path(root or ".").glob(inside) if (p / "manifest.json").is_file())
    if not found:
        raise ConfigError(f'--glob "{pattern}" matches no run.', "Quote it, e.g. 'runs/rte-*'.")
    return found
