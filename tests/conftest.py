"""What holds for every test: one thread, fixed seeds, no network, and nothing of the user's."""

from __future__ import annotations

import os
import random
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

# Read by the libraries when they are imported, so they are set before any of them is.
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    TOKENIZERS_PARALLELISM="false",
    MPLBACKEND="Agg",
    OMP_NUM_THREADS=os.environ.get("OMP_NUM_THREADS", "1"),
)
for _name in [name for name in os.environ if name.startswith("PEFTSEARCH_")]:
    if _name not in ("PEFTSEARCH_SHARED", "PEFTSEARCH_ADAPTERS_PYTHON", "PEFTSEARCH_AXE"):
        del os.environ[_name]

ROOT = Path(__file__).resolve().parents[1]
#: Real data and models that are not part of the project; tests that want them skip without.
SHARED = Path(os.environ.get("PEFTSEARCH_SHARED", ROOT.parent / "shared"))
_LOOPBACK = ("127.", "::1", "localhost")

settings.register_profile("peftsearch", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("peftsearch")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Seed every generator; torch only where a test has imported it."""
    random.seed(0)
    np.random.seed(0)
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(0)
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections to anything but this machine, unless marked ``network``."""
    if request.node.get_closest_marker("network"):
        return
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else ""
        if self.family != socket.AF_UNIX and not str(host).startswith(_LOOPBACK):
            pytest.fail(f"a test tried to reach {host}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def shared() -> Path:
    """Return the folder of optional real data, or skip."""
    if not SHARED.is_dir():
        pytest.skip("no folder of real data beside the repository or under PEFTSEARCH_SHARED")
    return SHARED


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Return a path at which a run may be made; nothing is there yet."""
    return tmp_path / "run"
