"""``peftsearch import``, and what is imported as a baseline."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import peft
import pytest

import peftsearch
from peftsearch.architecture import Architecture
from peftsearch.backbones.loading import load_backbone
from peftsearch.cli import main
from peftsearch.micro import MODEL_DIRS
from tests.conftest import ROOT

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
SMALL = {"target_modules": r"encoder.*\.q", "r": 2}


def _adapter(folder: Path, **options: object) -> str:
    model = load_backbone("micro-t5", 2).model
    config = peft.LoraConfig(**options)  # type: ignore[arg-type]
    peft.get_peft_model(model, config).save_pretrained(str(folder))
    return str(folder)


def _run(monkeypatch: pytest.MonkeyPatch, *words: str, command: str = "import") -> int:
    monkeypatch.setattr(sys, "argv", ["peftsearch", command, *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_architecture_and_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    adapter = _adapter(tmp_path / "theirs", **SMALL)
    words = (adapter, "--model", "micro-t5", "--task", "micro-nli", "--native", "ours", "--json")
    assert _run(monkeypatch, *words) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["written"] == ["architecture.json", "ours"]
    found = Architecture.load("architecture.json")
    assert said["num_params"] == found.num_params == 3 * 2 * (64 + 64)
    assert (found.model, found.task) == ("micro-t5", "micro-nli")
    assert peftsearch.load("ours", check=True).peftsearch_architecture == found
    before = Path("architecture.json").read_bytes()
    assert _run(monkeypatch, *words) == 2
    assert "architecture.json is there already" in capsys.readouterr().err
    assert Path("architecture.json").read_bytes() == before
    assert _run(monkeypatch, adapter, "--model", "micro-t5", "--out", "a/b.json", "--quiet") == 0
    assert capsys.readouterr().out == "a/b.json\n"


def test_ranks_of_their_own_at_one_site_are_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two LoRAs at one site, each on modules of its own; on one module they would be refused."""
    monkeypatch.chdir(tmp_path)
    adapter = _adapter(tmp_path / "theirs", target_modules=["q", "v"], rank_pattern={"v": 3})
    assert _run(monkeypatch, adapter, "--model", "micro-t5") == 0
    assert _run(monkeypatch, "architecture.json", command="validate") == 0
    data = json.loads(Path("architecture.json").read_text())
    at = [c for c in data["choices"] if c["site"] == "encoder.00.attention"]
    assert [(c["size"], c["modules"]) for c in at] == [(8, ["q"]), (3, ["v"])]
    at[1]["modules"] = ["q"]
    Path("architecture.json").write_text(json.dumps(data))
    capsys.readouterr()
    assert _run(monkeypatch, "architecture.json", command="validate") == 2
    assert "encoder.00.attention has lora twice" in capsys.readouterr().err


def test_the_lines_in_the_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _adapter(tmp_path / "adapter", **SMALL)
    shutil.copytree(MODEL_DIRS["micro-t5"], "my-backbone")
    text = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    section = text.split("\n## Import")[1].split("\n## ")[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    assert names["model"].peftsearch_architecture == names["architecture"]
    assert names["architecture"].num_params == 768
    commands = re.findall(r"^peftsearch import (.*?)(?:  +#.*)?$", section, flags=re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        Path("mine.json").unlink(missing_ok=True)
        assert _run(monkeypatch, *command.split()) == 0
    assert Architecture.load("mine.json") == names["architecture"]


def test_a_refusal_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    adapter = _adapter(tmp_path / "theirs", target_modules=["q", "shared"])
    assert _run(monkeypatch, adapter, "--model", "micro-t5", "--native", "ours") == 6
    assert "  shared: lora_embedding_A: it is no module of a site" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]
    assert _run(monkeypatch, str(tmp_path), "--model", "micro-t5") == 2
    assert "is no adapter of PEFT" in capsys.readouterr().err
