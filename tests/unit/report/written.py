"""Reports of synthetic runs, each written once for all workers of a test session."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filelock import FileLock

from peftsearch.report import FORMATS, write_report

from . import factory


def written(temporary: pytest.TempPathFactory, name: str) -> Path:
    """Return the run directory of a synthetic run, with its report, which nobody may change.

    Args:
        temporary: Tells the folder of the session, which workers of pytest-xdist share.
        name: One of ``factory.ALL``.
    """
    own = temporary.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    root = shared / "written" / name
    root.parent.mkdir(exist_ok=True)
    with FileLock(root.with_suffix(".lock")):
        done = root.with_suffix(".done")
        if not done.is_file():
            root.mkdir()
            factory.ALL[name](root)
            # vectors cost a quarter of the time, and one run shows that they are written
            write_report(root, [f for f in FORMATS if f != "svg" or name == "finished"])
            done.touch()
    return root
