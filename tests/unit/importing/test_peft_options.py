"""Configs of PEFT that it does not take itself: one sentence, whatever it stumbles over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from peftsearch.errors import ConfigError, ExportError
from peftsearch.importing.reading import import_architecture
from tests.models import FACTORIES

LORA = {"peft_type": "LORA", "target_modules": ["q"]}


def config(folder: Path, given: dict[str, Any]) -> Path:
    (folder / "adapter_config.json").write_text(json.dumps(given))
    return folder


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("r", "8"),
        ("r", 2.5),
        ("lora_alpha", True),
        ("lora_dropout", None),
        ("rank_pattern", ["q"]),
        ("rank_pattern", {"q": "8"}),
        ("rank_pattern", {"q": 1.5}),
        ("alpha_pattern", None),
        ("alpha_pattern", {"(": 1}),
        ("bias", 5),
        ("layers_to_transform", "all"),
        ("layers_to_transform", [True]),
        ("layers_pattern", 0),
        ("layers_pattern", "["),
        ("target_modules", [5]),
        ("target_modules", "("),
        ("exclude_modules", "a{99999999999}"),
        ("modules_to_save", ["("]),
    ],
)
def test_a_value_of_the_wrong_type(key: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"PEFT does not take .*: {key} is .*, not "):
        import_architecture(config(tmp_path, {**LORA, key: value}), FACTORIES["t5"]())


def test_all_wrong_values_are_said_at_once(tmp_path: Path) -> None:
    path = config(tmp_path, {**LORA, "r": "8", "bias": 5})
    said = 'r is "8", not a whole number; bias is 5, not text'
    with pytest.raises(ConfigError, match=said):
        import_architecture(path, FACTORIES["t5"]())


@pytest.mark.parametrize(
    "given",
    [
        {**LORA, "r": -1},
        {**LORA, "target_modules": ["nothing"]},
        {**LORA, "modules_to_save": ["block"]},
        {"peft_type": "LN_TUNING", "target_modules": ".*"},
        {"peft_type": "BEFT", "target_modules": ".*"},
    ],
)
def test_what_it_refuses_on_this_model(given: dict[str, Any], tmp_path: Path) -> None:
    """It has words for some of these, and fails with an error of its own code on others."""
    with pytest.raises(ConfigError, match=r"PEFT does not take .* on this T5"):
        import_architecture(config(tmp_path, given), FACTORIES["t5"]())


def test_tuning_a_map_as_if_it_were_a_norm(tmp_path: Path) -> None:
    """PEFT's LayerNorm tuning trains all of whatever it is put on."""
    given = {"peft_type": "LN_TUNING", "target_modules": ["q"]}
    with pytest.raises(ExportError, match="layernorm: the whole module is trained"):
        import_architecture(config(tmp_path, given), FACTORIES["t5"]())
