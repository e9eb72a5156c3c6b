"""Rows that fit a device: from the terms of a plan."""

from __future__ import annotations

from typing import Any

import pytest

from peftsearch.errors import ConfigError
from peftsearch.memory.fitting import device_bytes, fits

STAGE = {"rows_at_once": 8, "activations": 700, "gradient_of_logits": 100, "total": 1800}


def plan(**more: Any) -> dict[str, Any]:
    return {"stages": {"search": {**STAGE, **more}}}


@pytest.mark.parametrize(
    ("device", "rows", "accumulation"),
    [
        (1223, 1, 32),  # 0.9 * 1223 is a row, of 100 bytes, above the 1000 that are always there
        (1222, 0, None),
        (1556, 4, 8),
        (10**6, 32, 1),
    ],
)
def test_what_fits(device: int, rows: int, accumulation: int | None) -> None:
    found = fits(plan(), device, {"search": 32})["search"]
    assert (found["rows"], found["accumulation"]) == (rows, accumulation)
    if accumulation and accumulation > 1:
        assert found["text"].endswith(f"--set accumulation={accumulation}")
        assert 0.9 * device >= 1000 + 100 * rows
        assert 0.9 * device < 1000 + 100 * (rows + 1)


def test_nothing_fits() -> None:
    assert "--load-in 4bit" in fits(plan(), 1000, {"search": 32})["search"]["text"]


def test_what_is_not_known_is_said_so() -> None:
    found = fits(plan(total=None, activations=None), 10**9, {"search": 32})["search"]
    assert found["rows"] is None


def test_sizes() -> None:
    assert (device_bytes("24GB"), device_bytes("80 GiB")) == (24 * 10**9, 80 * 2**30)
    with pytest.raises(ConfigError, match='--device-memory "much"'):
        device_bytes("much")
