"""A backbone description on the way in and out: ``import --backbone``, ``export --backbone``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peft
import pytest

from peftsearch.architecture import Architecture
from peftsearch.cli.importing import import_adapter
from peftsearch.cli.stages import export
from tests.unit.backbones.test_inspection import MPNET, model_of
from tests.unit.formats.decoder_material import word_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a model of an unknown type, an adapter of it and a description."""
    monkeypatch.chdir(tmp_path)
    model: Any = model_of("MPNet")
    model.save_pretrained("model")
    word_tokenizer("a b c").save_pretrained("model")
    settings = peft.LoraConfig(target_modules=["attn.q"], r=2)
    peft.get_peft_model(model, settings).save_pretrained("theirs")
    text = MPNET.replace("  encoder:", "  words:")
    Path("mpnet.yaml").write_text(text)
    return tmp_path


def test_sites_are_called_as_they_are_described(place: Path) -> None:
    import_adapter(place / "theirs", "model", Path("plain.json"), quiet=True)
    import_adapter(place / "theirs", "model", Path("own.json"), backbone="mpnet.yaml", quiet=True)
    stacks = [
        {choice.site.split(".")[0] for choice in Architecture.load(name).active}
        for name in ("plain.json", "own.json")
    ]
    assert stacks == [{"encoder"}, {"words"}]
    out = place / "out"
    export(
        Path("own.json"),
        "native",
        out,
        untrained=True,
        labels=3,
        backbone="mpnet.yaml",
        quiet=True,
    )
    document = json.loads((out / "native.json").read_text())
    assert list(document["description"]["stacks"]) == ["words"]
