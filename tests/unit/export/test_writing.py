"""An exporter of another package, from its declared table to the folder that it fills."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from peftsearch import catalogue, tasks
from peftsearch.backbones.loading import load_backbone
from peftsearch.errors import ConfigError, ExportError
from peftsearch.export.base import untrained
from peftsearch.export.writing import export, problems
from peftsearch.stages import export_untrained
from tests.models import inputs
from tests.unit.export.material import architecture, bundle_of, choice, fresh

PLUG_IN = """
from safetensors.torch import load_file, save_file
from peftsearch.export.base import Entry, Evidence, Problem

EXPORTER = {
    "name": "stray",
    "title": "a target of the tests",
    "holds": {"lora": {"bert": "", "*": "only BERT is known"}, "ia3": ""},
    "otherwise": "the tests know of no other method",
}
trained, why = 0, ""


def problems(architecture, backbone):
    odd = [c for c in architecture.active if c.method == "lora" and c.size % 2]
    return [Problem(c.site, c.method, f"its rank {c.size} is odd") for c in odd]


def write(bundle, folder):
    assert list(folder.iterdir()) == []
    save_file({"logits": bundle.check_logits}, folder / "logits.safetensors")


def verify(bundle, folder):
    found = load_file(folder / "logits.safetensors")["logits"]
    entry = Entry("everything", bundle.architecture.num_params, trained, why)
    return Evidence({"read": found}, (entry,), {"remark": "fine"})


def snippet(bundle, folder):
    return [f"folder = {str(folder)!r}"]
"""


class _Entry:
    name, value = "whatever", "stray_plug_in"


@pytest.fixture
def stray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Return the module of an exporter that only an entry point knows of."""
    (tmp_path / "stray_plug_in.py").write_text(PLUG_IN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(catalogue, "entry_points", lambda group: [_Entry()])
    catalogue.exporters.cache_clear()
    yield import_module("stray_plug_in")
    catalogue.exporters.cache_clear()


def test_table_and_own_look_are_one_list(stray: object) -> None:
    backbone = fresh("bert")
    choices = [
        choice(backbone, "encoder.00.attention", "lora", 3),
        choice(backbone, "encoder.00.norm", "layernorm", 1),
        choice(backbone, "encoder.01.attention", "lora", 2),
        choice(backbone, "encoder.01.attention", "ia3", 1),
    ]
    found = problems("stray", architecture(backbone, choices), backbone)
    assert [(p.site, p.method, p.reason) for p in found] == [
        ("encoder.00.norm", "layernorm", "the tests know of no other method"),
        ("encoder.00.attention", "lora", "its rank 3 is odd"),
    ]
    other = fresh("t5")
    odd = architecture(other, [choice(other, "decoder.01.attention", "lora", 3)])
    assert [p.reason for p in problems("stray", odd, other)] == ["only BERT is known"]
    with pytest.raises(ConfigError, match='export target "stary" is not known'):
        problems("stary", odd, other)


def test_counts_must_agree_or_be_explained(stray: object, tmp_path: Path) -> None:
    backbone = fresh("bert")
    bundle = bundle_of(backbone, [choice(backbone, "encoder.00.attention", "ia3", 1)])
    folder = tmp_path / "place" / "x"
    with pytest.raises(ExportError, match="everything trains 0 parameters instead of 64"):
        export(bundle, "stray", folder)
    assert list((tmp_path / "place").iterdir()) == []
    stray.why = "there is a reason"  # type: ignore[attr-defined]
    check = export(bundle, "stray", folder)
    assert check["entries"] == [
        {"name": "everything", "num_params": 64, "trained": 0, "why": "there is a reason"}
    ]
    written = json.loads((folder / "check.json").read_text())
    assert written == {**check, "load": [f"folder = {str(folder)!r}"]}
    assert written["notes"] == {"remark": "fine"}


def test_logits_of_another_shape_or_no_number_are_not_verified(
    stray: object, tmp_path: Path
) -> None:
    backbone = fresh("bert")
    good = bundle_of(backbone, [choice(backbone, "encoder.00.attention", "ia3", 1)])
    stray.trained = 64  # type: ignore[attr-defined]
    verify = stray.verify  # type: ignore[attr-defined]
    for spoilt in (lambda x: x[:1], lambda x: x / 0):
        changed = {"read": spoilt(good.check_logits)}
        stray.verify = lambda b, f, c=changed: replace(verify(b, f), logits=c)  # type: ignore[attr-defined]
        with pytest.raises(ExportError, match="its logits differ by inf"):
            export(good, "stray", tmp_path / "x")


def test_fresh_weights_change_nothing(tmp_path: Path) -> None:
    """An untrained export starts where the backbone is: B = 0, factors of one."""
    backbone = fresh("t5")
    choices = [
        choice(backbone, "decoder.00.cross_attention", "lora", 3),
        choice(backbone, "encoder.00.feed_forward", "ia3", 1),
    ]
    bundle = untrained(architecture(backbone, choices), backbone, inputs(backbone.model))
    assert not bundle.trained
    assert bundle.of("decoder.00.cross_attention", "lora", "q")["A"].any()
    assert not bundle.of("decoder.00.cross_attention", "lora", "q")["B"].any()
    for target in ("native", "peft"):
        assert export(bundle, target, tmp_path / target)["max_logit_difference"] == 0


def test_an_architecture_alone_is_exported_untrained(tmp_path: Path) -> None:
    """Its model and its task say the rest; a task of somebody else's has to be told."""
    backbone = load_backbone("micro-bert", 3)
    found = architecture(backbone, [choice(backbone, "encoder.00.attention", "lora", 3)])
    path = tmp_path / "architecture.json"
    replace(found, model="micro-bert", task="micro-nli").save(path)
    check = export_untrained(path, "peft", tmp_path / "x")
    assert check["max_logit_difference"] == 0
    labels = tasks.get("micro-nli").labels
    head = next(entry for entry in check["entries"] if entry["name"] == "head")
    assert head["trained"] == len(labels) * (backbone.model.config.hidden_size + 1)
    replace(found, model="micro-bert", task="theirs").save(path)
    with pytest.raises(ConfigError, match='task "theirs" is not known') as caught:
        export_untrained(path, "peft", tmp_path / "y")
    assert "--labels N" in caught.value.hint
    export_untrained(path, "native", tmp_path / "y", labels=5)
    assert json.loads((tmp_path / "y" / "native.json").read_text())["num_labels"] == 5
