"""The command line: ``peftsearch``.

Place in the flow: above everything; turns options into a configuration, calls the pipeline
and prints what comes back. Torch is imported only when a stage runs.
"""

from __future__ import annotations

from peftsearch.cli.app import app, main

__all__ = ["app", "main"]
