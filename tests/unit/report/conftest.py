"""Reports of every synthetic run, each written once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest

from .written import written


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the run directory of a synthetic run by name, with its report written."""
    return cache(partial(written, tmp_path_factory))
