"""Merged checkpoints: plain, tied, sharded, of any precision, and useful without this package."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import T5ForConditionalGeneration
from transformers.utils import logging

from peftsearch.backbones.base import wrap
from peftsearch.errors import ConfigError
from peftsearch.export import merged
from peftsearch.export.base import logits_of
from peftsearch.export.writing import export
from tests.models import FACTORIES
from tests.unit.export.material import architecture, bundle_of, choice, fresh, random_choices

MERGEABLE = ("layernorm", "lora", "ia3", "bitfit")


@pytest.fixture(autouse=True)
def _no_bars() -> None:
    logging.disable_progress_bar()


def _independent(tmp_path: Path, folder: Path) -> list[str]:
    """Load a checkpoint where neither this package nor PEFT can be imported."""
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['peftsearch', 'peft']))\n"
        "import torch\n"
        "from safetensors.torch import load_file\n"
        "from transformers import AutoModelForSeq2SeqLM\n"
        f"batch = load_file({str(tmp_path / 'batch.safetensors')!r})\n"
        "wanted = batch.pop('logits')\n"
        f"model = AutoModelForSeq2SeqLM.from_pretrained({str(folder)!r}).eval()\n"
        "with torch.no_grad():\n"
        "    found = model(**batch).logits\n"
        "print(float((found - wanted).abs().max()), model.dtype)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_nothing_of_this_package_is_needed(tmp_path: Path) -> None:
    """And float32 is what a plain from_pretrained gives, whatever the backbone came in."""
    from safetensors.torch import save_file

    model = FACTORIES["t5"]().to(torch.bfloat16)
    backbone = wrap("test", model.float())
    bundle = bundle_of(backbone, random_choices(backbone, ["lora", "ia3", "layernorm"], 0))
    save_file(
        {**bundle.check_inputs, "logits": bundle.check_logits}, tmp_path / "batch.safetensors"
    )
    check = export(bundle, "merged", tmp_path / "merged")
    difference, dtype = _independent(tmp_path, tmp_path / "merged")
    assert float(difference) <= check["tolerance"]
    assert dtype == "torch.float32"


def test_the_error_in_bfloat16_is_stated(tmp_path: Path) -> None:
    backbone = fresh("bert")
    check = export(bundle_of(backbone, random_choices(backbone, MERGEABLE, 1)), "merged", tmp_path)
    stated = check["notes"]["bf16_max_logit_difference"]
    assert check["max_logit_difference"] < 1e-5 < 1e-4 < stated < 0.5
    assert json.loads((tmp_path / "check.json").read_text())["notes"] == check["notes"]


def test_tied_embeddings_stay_tied(tmp_path: Path) -> None:
    backbone = fresh("t5")
    before = backbone.model.shared.weight.detach().clone()
    export(bundle_of(backbone, random_choices(backbone, ["lora"], 2)), "merged", tmp_path)
    loaded = T5ForConditionalGeneration.from_pretrained(tmp_path)
    assert loaded.lm_head.weight is loaded.shared.weight
    assert torch.equal(loaded.shared.weight, before)


def test_sharded_in_and_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backbone of several files, in a folder with dots in its name, and so its export."""
    source = tmp_path / "my.backbone-v1.0"
    FACTORIES["t5"]().save_pretrained(source, max_shard_size="20KB")
    assert len(list(source.glob("*.safetensors"))) > 2
    backbone = wrap(str(source), T5ForConditionalGeneration.from_pretrained(source))
    bundle = bundle_of(backbone, random_choices(backbone, ["lora", "layernorm"], 3))
    monkeypatch.setattr(merged, "SHARD", "20KB")
    folder = tmp_path / "merged.v2"
    export(bundle, "merged", folder)
    assert len(list(folder.glob("*.safetensors"))) > 2
    assert (folder / "model.safetensors.index.json").is_file()
    shard = next(folder.glob("model-00002-*"))
    shard.unlink()
    with pytest.raises(OSError, match="model-00002"):
        T5ForConditionalGeneration.from_pretrained(folder)


def test_the_order_of_the_list_does_not_matter(tmp_path: Path) -> None:
    """LoRA, IA3 and BitFit on one map, listed both ways: one function, in every target."""
    backbone = fresh("roberta")
    choices = [
        choice(backbone, site, method, size, module)
        for site, module in (("encoder.00.attention", "k"), ("encoder.01.feed_forward", "down"))
        for method, size in (("lora", 3), ("ia3", 1), ("bitfit", 1))
    ]
    one = bundle_of(backbone, choices)
    other = replace(one, architecture=architecture(backbone, choices[::-1]))
    assert one.architecture.choices == other.architecture.choices[::-1]
    for target in ("native", "peft", "merged"):
        for name, bundle in (("one", one), ("other", other)):
            assert export(bundle, target, tmp_path / target / name)["verified"]


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_odd_widths_and_ranks(family: str, tmp_path: Path) -> None:
    backbone = fresh(family, width=20)
    choices = [
        choice(backbone, host.site.id, "lora", 1 + 2 * number)
        for number, host in enumerate(backbone.hosts)
        if host.site.part != "norm"
    ]
    bundle = bundle_of(backbone, choices, std=0.05)
    for target in ("peft", "peft-serving", "merged"):
        assert export(bundle, target, tmp_path / target)["verified"]


def test_what_stands_in_the_way_is_kept(tmp_path: Path) -> None:
    """An earlier export is replaced, as a whole; anything else is left alone."""
    backbone = fresh("bert")
    export(bundle_of(backbone, random_choices(backbone, MERGEABLE, 0)), "peft", tmp_path / "x")
    assert (tmp_path / "x" / "lora").is_dir()
    bundle = bundle_of(backbone, random_choices(backbone, ["lora"], 0))
    export(bundle, "peft", tmp_path / "x")
    assert not (tmp_path / "x" / "lora").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="what is there is not an export"):
        export(bundle, "merged", tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "x"]
    assert logits_of(backbone.model, bundle.check_inputs).shape == bundle.check_logits.shape
