"""Data sets of the Hub by name: what they say suffices, or a sentence says what to give."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hub.repositories import clip
from tests.hub.server import LoopbackHub
from tests.hub.test_hub import run_child

STARS = {"label_column": "stars", "kind": "classification"}
#: Name, kind, id, option, and the answer.
WORKING: list[tuple[str, str, str, str, Any]] = [
    ("topics", "named", "test/topics", "",
     ["classification", ["title"], "topic", ["sport", "art"], 60, 12,
      {"title": "train 0", "topic": 0}]),
    ("renamed", "named", "old/topics", "",
     ["classification", ["title"], "topic", ["sport", "art"], 60, 12,
      {"title": "train 0", "topic": 0}]),
    ("spans", "named", "test/spans", "",
     ["extraction", ["question", "context"], "answers", [], 20, 20,
      {"question": "How much?", "context": "It is 0 here.",
       "answers": {"text": ["0"], "answer_start": [6]}}]),
    ("config", "named", "nyu-mll/glue:rte", "",
     ["classification", ["sentence1", "sentence2"], "label", ["entailment", "not_entailment"],
      320, 80, None]),
    ("said", "named", "test/open", json.dumps(STARS),
     ["classification", ["a", "b"], "stars", ["0", "1", "2"], 20, 20,
      {"a": "x 0", "b": "0 y", "stars": 0}]),
    ("numbers", "named", "test/open",
     json.dumps({**STARS, "kind": "regression", "text_columns": ["b"]}),
     ["regression", ["b"], "stars", [], 20, 20, {"b": "0 y", "stars": 0.0}]),
    ("other split", "named", "test/topics", json.dumps({"test_split": "train"}),
     ["classification", ["title"], "topic", ["sport", "art"], 60, 60,
      {"title": "train 0", "topic": 0}]),
    ("sounds", "named", "test/clips", "",
     ["speech-recognition", ["audio"], "sentence", [], 20, 12,
      {"audio": hashlib.sha256(clip(0)).hexdigest(), "sentence": "train 0"}]),
    ("images", "named", "test/pets", "",
     ["image-classification", ["photo"], "label", ["cat", "dog"], 20, 20, None]),
    ("folder", "folder", "nyu-mll/glue", "rte", {"train": 320, "validation": 80}),
]  # fmt: skip
#: Name, id, option, exit code, and what message and hint must hold.
FAILING = [
    ("unclear", "test/open", "", 2, "not clear which column has the labels", "--label-column NAME"),
    ("kind", "test/open", '{"label_column": "stars"}', 2, "classification or regression", "--kind"),
    ("column", "test/open", '{"label_column": "star"}', 2, 'no column "star"', '"stars"?'),
    ("missing", "test/nothing", "", 3, 'no data set "test/nothing"', "--data DIR"),
    ("gated", "test/gated-topics", "", 3, "gated", "hf auth login"),
    ("cut", "test/cut-topics", "", 3, "broke off", "--data DIR"),
    ("broken", "test/broken-topics", "", 3, "HTTP 500", "--data DIR"),
    ("split", "test/topics", '{"test_split": "dev"}', 3, 'no split "dev"', "train, test"),
    ("no config", "nyu-mll/glue:nothing", "", 3, "BuilderConfig 'nothing' not found", ""),
    ("script", "test/script", "", 3, "script", ""),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def online(start_hub: Callable[[Path], LoopbackHub], home: Path) -> dict[str, Any]:
    """Everything that is asked of a running Hub, in one child, which fills the cache."""
    hub = start_hub(home)
    hub.fault("gated", "/datasets/test/gated-topics/")
    hub.fault("cut", "GET .*test/cut-topics/.*parquet")
    hub.fault("status", "test/broken-topics/.*parquet")
    loads = [list(case[:4]) for case in WORKING]
    loads += [[name, "named", path, option] for name, path, option, *_ in FAILING]
    answers = run_child(loads, hub.env())
    hub.down()
    return answers


@pytest.mark.parametrize("case", WORKING, ids=[case[0] for case in WORKING])
def test_found_by_its_name(online: dict[str, Any], case: tuple[str, str, str, str, Any]) -> None:
    found, wanted = online[case[0]].get("value"), case[4]
    if isinstance(wanted, list) and wanted[-1] is None:
        found, wanted = found[:-1], wanted[:-1]
    assert found == wanted, online[case[0]]


@pytest.mark.parametrize("case", FAILING, ids=[case[0] for case in FAILING])
def test_one_sentence_says_what_is_wrong(online: dict[str, Any], case: tuple[Any, ...]) -> None:
    name, _, _, code, message, hint = case
    answer = online[name]
    assert answer.get("exit_code") == code, answer
    assert message in answer["message"]
    assert hint in answer["hint"]
    assert "\n" not in answer["message"] + answer["hint"]
    assert "ran" not in answer["message"].split()


def test_offline_with_and_without_the_cache(
    online: dict[str, Any], start_hub: Callable[[Path], LoopbackHub], home: Path, tmp_path: Path
) -> None:
    cached = [list(case[:4]) for case in WORKING if case[0] in ("topics", "config", "said")]
    answers = run_child(cached, start_hub(home).env(HF_HUB_OFFLINE="1"))
    for name, *_ in cached:
        assert answers[name].get("value") == online[name]["value"], answers[name]
    empty = start_hub(tmp_path)
    answers = run_child(cached, empty.env(HF_HUB_OFFLINE="1"))
    for name, *_ in cached:
        assert answers[name].get("exit_code") == 3, answers[name]
        assert "\n" not in answers[name]["message"]
    assert empty.requests == []
