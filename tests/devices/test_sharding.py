"""A frozen backbone in shards computes what it computes whole, with every method inserted."""

from __future__ import annotations

from typing import Any

import pytest

from peftsearch.catalogue import method_facts
from tests.devices.material import in_processes

METHODS = sorted(set(method_facts()) - {"none"})


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return in_processes(2, "sharded.py", tmp_path_factory.mktemp("sharded"))[0]


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
