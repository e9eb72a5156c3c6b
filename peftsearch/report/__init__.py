"""The report of a run: one HTML file, with every figure and table also beside it.

Place in the flow: the run's files -> ``report/report.html``, ``figures``, ``tables``. Needs
neither torch nor a GPU, and can be asked for at any point of a run.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_report"]


def write_report(run_dir: Path) -> Path:
    """Write the report of a run, finished or not, from its files alone.

    Args:
        run_dir: The run directory.

    Returns:
        The path of ``report/report.html``.

    Raises:
        ConfigError: ``run_dir`` is not a run directory.
    """
    # Imported here, so that naming the package does not cost the second that matplotlib takes.
    from peftsearch.report.write import write

    return write(run_dir)
