"""Several finished runs side by side: scores, how alike their architectures are, and their average.

Place in the flow: beside the report; reads the files of several runs -> ``report.html``, figures,
tables and, where the runs share a space, an averaged ``architecture.json``. Torch-free.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["compare"]


def compare(runs: Sequence[Path], out: Path) -> Path:
    """Compare runs from their files alone.

    Args:
        runs: At least two run directories that have found an architecture.
        out: Where to write; a new or empty directory, or that of an earlier comparison.

    Returns:
        The path of ``report.html``.

    Raises:
        ConfigError: Something is no run, is there twice, or has no architecture yet.
    """
    # Imported here, so that naming the package does not cost the second that matplotlib takes.
    from peftsearch.compare.write import write

    return write(runs, out)
