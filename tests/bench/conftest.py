"""The tiny table, built once."""

from __future__ import annotations

import pytest

from tests.bench.material import Tiny, make
from tests.cli.conftest import invoke

__all__ = ["invoke"]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """The built table; to be read only."""
    return make(tmp_path_factory.mktemp("bench"))
