"""Reports of every synthetic run, each written once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from peftsearch.report import FORMATS, write_report

from . import factory


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the run directory of a synthetic run by name, with its report written."""

    @cache
    def make(name: str) -> Path:
        root = tmp_path_factory.mktemp(name)
        factory.ALL[name](root)
        # vectors cost a quarter of the time, and one run shows that they are written
        write_report(root, [f for f in FORMATS if f != "svg" or name == "finished"])
        return root

    return make
