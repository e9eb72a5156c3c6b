"""The real clients against the loopback Hub: loading, every failure, and the cache.

Each child process does many loads, as importing the clients takes seconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hub.repositories import TRAIN_ROWS, VALIDATION_ROWS
from tests.hub.server import LoopbackHub

ROOT = Path(__file__).resolve().parents[2]
CHILD = Path(__file__).with_name("child.py")
TOKEN = "hf_not_a_real_token"  # looked for in all output

WORKING = [
    ["config", "config", "t5-base", ""],
    ["tokenizer", "tokenizer", "t5-base", ""],
    ["model", "model", "t5-base", ""],
    ["full name", "config", "google-t5/t5-base", ""],
    ["task", "task", "rte", ""],
    ["flaky", "config", "test/flaky", ""],
]
#: Name, kind, id, option, and what message and hint must hold.
FAILING = [
    ("missing", "config", "t5-bse", "", 'no model "t5-bse"', 'Did you mean "t5-base"?'),
    ("missing data", "rows", "nyu-mll/glu", "", "no data set", "--data DIR"),
    ("gated", "config", "test/gated", "", "gated", "hf auth login"),
    ("gated data", "rows", "test/gated", "", "gated", "hf auth login"),
    ("error", "config", "test/error", "", "HTTP 500", "--model DIR"),
    ("error data", "rows", "test/error", "", "HTTP 500", "--data DIR"),
    ("slow", "config", "test/slow", "", "did not answer within 2 s", "HF_HUB_OFFLINE=1"),
    ("slow data", "rows", "test/slow", "", "did not answer within 2 s", "--data DIR"),
    ("stalled", "model", "test/stalled", "", "stalled a download", "--model DIR"),
    ("cut", "model", "test/cut", "", "broke off", "--model DIR"),
    ("cut data", "rows", "test/cut", "", "broke off", "--data DIR"),
    ("busy", "config", "test/busy", "", "HTTP 429", "Try again later"),
    ("weights error", "model", "test/weights-error", "", "HTTP 500", "Try again later"),
    ("no weights", "model", "test/no-weights", "", "not complete", "model.safetensors"),
    ("damaged", "model", "test/damaged", "", "damaged", "hf cache rm model/test/damaged"),
    ("empty", "config", "test/empty", "", "no config.json", "Check the name"),
    ("no config", "rows", "nyu-mll/glue", "rtee", "BuilderConfig 'rtee' not found", "config:"),
    ("bad name", "config", "no such!", "", "neither a folder nor the name", "--model DIR"),
    ("no folder", "config", "./nowhere", "", 'no folder "./nowhere"', "Check the path"),
]


def run_child(loads: list[list[str]], env: dict[str, str]) -> dict[str, Any]:
    """Run loads in a child; left alone, the clients would wait far longer than the time-out."""
    done = subprocess.run(
        [sys.executable, str(CHILD), json.dumps(loads)],
        env={**env, "PYTHONPATH": str(ROOT), "HF_TOKEN": TOKEN},
        cwd=env["HF_HOME"],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert TOKEN not in done.stdout + done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def online(start_hub: Callable[[Path], LoopbackHub], home: Path) -> dict[str, Any]:
    """Everything that is asked of a running Hub, in one child, which fills the cache."""
    hub = start_hub(home)
    hub.fault("status", "agent-harnesses", status=404)
    hub.fault("status", "test/flaky/resolve", status=503, times=1)
    for repo in ("test/gated", "datasets/test/gated"):
        hub.fault("gated", f"/{repo}/")
    hub.fault("status", "test/error")
    hub.fault("slow", "test/slow")
    hub.fault("stall", "GET .*test/stalled/.*safetensors")
    hub.fault("cut", "GET .*test/cut/.*(safetensors|parquet)")
    hub.fault("status", "test/busy", status=429, headers={"Retry-After": "300"})
    hub.fault("status", "test/weights-error/.*safetensors")
    answers = run_child(WORKING + [list(case[:4]) for case in FAILING], hub.env())
    hub.down()
    return answers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("config", "T5Config"),
        ("tokenizer", "T5Tokenizer"),
        ("model", "T5ForConditionalGeneration"),
        ("full name", "T5Config"),
        ("flaky", "T5Config"),
    ],
)
def test_loads(online: dict[str, Any], name: str, value: str) -> None:
    assert online[name].get("value") == value, online[name]


def test_loads_the_rows_of_a_task(online: dict[str, Any]) -> None:
    train, test, name, _, row = online["task"]["value"]
    assert (train, test, name) == (TRAIN_ROWS, VALIDATION_ROWS, "validation")
    assert row["label"] == 0
    assert set(row) == {"sentence1", "sentence2", "label"}


@pytest.mark.parametrize("case", FAILING, ids=[case[0] for case in FAILING])
def test_every_failure_is_one_sentence_and_exit_3(
    online: dict[str, Any], case: tuple[str, ...]
) -> None:
    answer = online[case[0]]
    assert answer.get("exit_code") == 3, answer
    assert case[4] in answer["message"]
    assert case[5] in answer["hint"]
    assert "\n" not in answer["message"] + answer["hint"]


def test_a_full_cache_serves_when_the_hub_is_gone(
    online: dict[str, Any], start_hub: Callable[[Path], LoopbackHub], home: Path
) -> None:
    hub = start_hub(home)
    hub.down()
    new = [["new", "config", "google/mt5-small", ""], ["new data", "rows", "test/new", ""]]
    answers = run_child(WORKING[:5] + new, hub.env())
    assert [answers[load[0]].get("value") for load in WORKING[:5]] == [
        online[load[0]]["value"] for load in WORKING[:5]
    ]
    for name, *_ in new:
        assert answers[name].get("exit_code") == 3
        assert "cannot be reached" in answers[name]["message"]


def test_offline_uses_the_cache_and_asks_nothing(
    online: dict[str, Any], start_hub: Callable[[Path], LoopbackHub], home: Path
) -> None:
    hub = start_hub(home)
    new = [["new", "config", "google/mt5-small", ""], ["new data", "rows", "test/new", ""]]
    answers = run_child(WORKING[:5] + new, hub.env(HF_HUB_OFFLINE="1"))
    assert [answers[load[0]].get("value") for load in WORKING[:5]] == [
        online[load[0]]["value"] for load in WORKING[:5]
    ]
    for name, *_ in new:
        assert answers[name].get("exit_code") == 3
        assert "HF_HUB_OFFLINE" in answers[name]["message"]
    assert hub.requests == []
