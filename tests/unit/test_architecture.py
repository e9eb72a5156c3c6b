"""``architecture.json``: there and back, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from peftsearch.architecture import Architecture, Choice
from peftsearch.errors import ConfigError

CHOICES = (
    Choice("encoder.00.attention", "lora", 8, ("q", "v"), 24576),
    Choice("encoder.00.feed_forward"),
    Choice("decoder.11.norm", "layernorm", 1, ("attention",), 768),
)
FOUND = Architecture("t5-base", "rte", 222_903_552, "1%", 2_229_035, CHOICES)


def test_counts_and_methods() -> None:
    assert FOUND.num_params == 25344
    assert FOUND.active == (CHOICES[0], CHOICES[2])
    assert FOUND.methods == ("layernorm", "lora")


def test_the_form_of_the_contract() -> None:
    assert FOUND.to_json() == {
        "format": 1,
        "model": "t5-base",
        "task": "rte",
        "backbone_parameters": 222_903_552,
        "budget": {"requested": "1%", "limit": 2_229_035},
        "num_params": 25344,
        "choices": [
            {
                "site": "encoder.00.attention",
                "method": "lora",
                "size": 8,
                "modules": ["q", "v"],
                "num_params": 24576,
            },
            {"site": "encoder.00.feed_forward", "method": "none", "num_params": 0},
            {
                "site": "decoder.11.norm",
                "method": "layernorm",
                "size": 1,
                "modules": ["attention"],
                "num_params": 768,
            },
        ],
    }


def test_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "architecture.json"
    FOUND.save(path)
    assert Architecture.load(path) == FOUND
    assert Architecture.load(str(path)) == FOUND
    assert Architecture.from_json(FOUND.to_json()) == FOUND


def _with(**changes: Any) -> dict[str, Any]:
    return {**FOUND.to_json(), **changes}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_with(format=2), "a: format 2 is not known; this version reads 1."),
        ({}, "a: format None is not known; this version reads 1."),
        (_with(extra=1, more=2), "a: unknown key extra, more."),
        (
            {k: v for k, v in FOUND.to_json().items() if k not in ("task", "model")},
            "a: missing key model, task.",
        ),
        (_with(num_params=1), "a: num_params is 1, its choices add up to 25344."),
        (_with(budget={"limit": 3}), "a: budget must have the keys limit and requested."),
        (_with(choices={}), "a: choices must be a list."),
        (_with(choices=[{"site": "x", "rank": 3}]), "a: unknown key rank in a choice."),
        (_with(choices=[1]), "a: the choice 1 is not valid."),
        (_with(num_params="5"), "a: num_params must be a count of parameters, not '5'."),
        (
            _with(budget={"requested": "1%", "limit": "9"}),
            "a: budget.limit must be a count of parameters, not '9'.",
        ),
    ],
)
def test_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Architecture.from_json(data, "a")
    assert caught.value.message == message


@pytest.mark.parametrize(
    "choice",
    [
        {"site": "encoder.00", "method": "lora", "num_params": 0},
        {"site": "encoder.00.attention", "num_params": 0},
        {"site": "encoder.00.attention", "method": "lora", "num_params": "many"},
        {"site": 3, "method": "lora", "num_params": 0},
        {"site": "encoder.00.attention", "method": "lora", "modules": "qv", "num_params": 0},
    ],
)
def test_a_wrong_choice(choice: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="not valid"):
        Architecture.from_json(_with(choices=[choice], num_params=0))


@pytest.mark.parametrize("content", ["", "{", "[1]", '"text"', "\udcff"])
def test_not_an_architecture(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ConfigError, match=r"is not (a JSON file|an architecture)"):
        Architecture.load(path)


def test_absent(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.json does not exist\.$"):
        Architecture.load(tmp_path / "no.json")


def test_written_as_json_for_people(tmp_path: Path) -> None:
    FOUND.save(tmp_path / "a.json")
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text == json.dumps(FOUND.to_json(), indent=2) + "\n"
