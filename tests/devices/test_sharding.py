"""A frozen backbone in shards computes what it computes whole, with every method inserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from peftsearch.catalogue import method_facts
from tests.devices.material import LIMIT, environment

METHODS = sorted(set(method_facts()) - {"none"})


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *launcher, str(Path(__file__).with_name("sharded.py"))],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=LIMIT,
        start_new_session=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(said) == 2
    return dict(said[0])


@pytest.mark.parametrize("family", ["t5", "bert"])
def test_layers_are_in_shards(family: str, found: dict[str, Any]) -> None:
    kept, count = found[family]["kept"], found[family]["parameters"]
    assert 0 < len(kept) < count / 2
    assert not [name for name in kept if ".block." in name or ".layer." in name]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", ["t5", "bert"])
def test_the_same_loss_and_gradients(family: str, method: str, found: dict[str, Any]) -> None:
    cut, whole = found[family][method]
    assert len(cut) > 10
    assert cut == pytest.approx(whole, rel=1e-4, abs=1e-6)
