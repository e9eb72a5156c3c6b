"""Fixtures: a loopback Hub with its own empty cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hub.repositories import REDIRECTS, build
from tests.hub.server import LoopbackHub


@pytest.fixture(scope="session")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    return build(tmp_path_factory.mktemp("repositories"))


@pytest.fixture(scope="module")
def start_hub(
    repositories: dict[str, dict[str, bytes]],
) -> Iterator[Callable[[Path], LoopbackHub]]:
    """Start Hubs that are stopped at the end of the module."""
    started: list[LoopbackHub] = []

    def start(home: Path) -> LoopbackHub:
        started.append(LoopbackHub(repositories, home, REDIRECTS))
        return started[-1]

    yield start
    for hub in started:
        hub.down()


@pytest.fixture
def hub(start_hub: Callable[[Path], LoopbackHub], tmp_path: Path) -> Iterator[LoopbackHub]:
    """A Hub of this test alone; ``hub.env()`` for the child, ``hub.fault(kind, pattern)``."""
    server = start_hub(tmp_path / "hf")
    yield server
    server.down()
