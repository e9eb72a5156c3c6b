"""The report of a run: one HTML file, with every figure and table also beside it.

Place in the flow: the run's files -> ``report/report.html`` (also ``.md`` and ``.json``),
``figures``, ``tables``. Needs neither torch nor a GPU, and can be asked for at any point of a run.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

__all__ = ["FORMATS", "write_report"]

#: What can be written: the page, the same for a model card, the same as data, the numbers behind
#: each figure, the figures as pixels and as vectors.
FORMATS = ("html", "md", "json", "csv", "png", "svg")


def write_report(run_dir: Path, formats: Collection[str] = FORMATS) -> Path:
    """Write the report of a run, finished or not, from its files alone.

    Args:
        run_dir: The run directory.
        formats: Which of :data:`FORMATS`; files of the others are left as they are.

    Returns:
        The path of ``report/report.html``; without it, of the first other file in the order of
        :data:`FORMATS`, or of the folder.

    Raises:
        ConfigError: ``run_dir`` is not a run directory.
    """
    # Imported here, so that naming the package does not cost the second that matplotlib takes.
    from peftsearch.report.write import write

    return write(run_dir, formats)
