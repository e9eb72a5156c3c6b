"""The package's own format: exact, checked for changes, helpful when it does not fit."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import peftsearch
from peftsearch import testing
from peftsearch.architecture import Choice
from peftsearch.backbones.base import wrap
from peftsearch.errors import ConfigError, ExportError
from peftsearch.export import native
from peftsearch.export.base import Bundle, logits_of
from peftsearch.export.writing import export
from peftsearch.injection import insertions_of, state
from tests.models import FACTORIES, inputs


def _applied(backbone: str, methods: tuple[str, ...]) -> Any:
    """A model with several methods at the same sites, everything trained."""
    model = FACTORIES[backbone]()
    wrapped = wrap("test", model)
    choices = [c for name in methods for c in testing.choices_for(wrapped, name, 2)]
    peftsearch.apply(model, testing.architecture_of(wrapped, choices))
    testing.draw(insertions_of(model))
    return model


@pytest.mark.parametrize("backbone", ["t5_v1_1", "bart", "bart_classifier", "roberta"])
def test_mixed_methods_and_the_head_travel(backbone: str, tmp_path: Path) -> None:
    model = _applied(backbone, ("lora", "adapter", "prefix", "bitfit", "parallel_adapter"))
    for name, parameter in model.named_parameters():
        if "classifi" in name:
            torch.nn.init.normal_(parameter)
    before = testing.logits(model, inputs(model))
    peftsearch.save(model, tmp_path)
    loaded = peftsearch.load(tmp_path, FACTORIES[backbone]())
    assert torch.equal(testing.logits(loaded, inputs(model)), before)
    assert loaded.peftsearch_architecture == model.peftsearch_architecture


@pytest.mark.parametrize("backbone", ["t5", "bert"])
def test_write_and_verify(backbone: str, tmp_path: Path) -> None:
    model = _applied(backbone, ("lora", "prefix"))
    architecture, batch = model.peftsearch_architecture, inputs(model)
    weights, logits = state(insertions_of(model)), logits_of(model, batch)
    head = {n: p.detach().clone() for n, p in model.named_parameters() if "classifier" in n}
    peftsearch.unapply(model)
    bundle = Bundle(architecture, weights, head, wrap("test", model), batch, logits)
    check = export(bundle, "native", tmp_path / "native")
    assert check["verified"]
    assert check["max_logit_difference"] == 0.0
    assert insertions_of(model) == []
    wrong = Bundle(architecture, weights, head, wrap("test", model), batch, logits + 1e-3)
    with pytest.raises(ExportError, match="does not reproduce the model: its logits differ"):
        export(wrong, "native", tmp_path / "wrong")
    assert [path.name for path in tmp_path.iterdir()] == ["native"]


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    peftsearch.save(_applied("t5", ("lora",)), tmp_path)
    path = tmp_path / "adapter.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(ExportError, match="was changed after it was written"):
        peftsearch.load(tmp_path, FACTORIES["t5"]())


def test_a_format_from_the_future_is_refused(tmp_path: Path) -> None:
    peftsearch.save(_applied("t5", ("lora",)), tmp_path)
    facts = json.loads((tmp_path / "native.json").read_text())
    (tmp_path / "native.json").write_text(json.dumps({**facts, "format": 2}))
    with pytest.raises(ConfigError, match="is not of format 1"):
        peftsearch.load(tmp_path, FACTORIES["t5"]())


@pytest.mark.parametrize("width", [16, 48])
def test_a_model_of_another_shape_is_left_clean(width: int, tmp_path: Path) -> None:
    peftsearch.save(_applied("t5", ("lora",)), tmp_path)
    other = FACTORIES["t5"](width)
    names = [name for name, _ in other.named_parameters()]
    with pytest.raises(ConfigError, match="another shape"):
        peftsearch.load(tmp_path, other)
    assert [name for name, _ in other.named_parameters()] == names
    assert insertions_of(other) == []


def test_another_family_has_no_such_sites(tmp_path: Path) -> None:
    peftsearch.save(_applied("t5", ("lora",)), tmp_path)
    with pytest.raises(ConfigError, match="no site decoder"):
        peftsearch.load(tmp_path, FACTORIES["bert"]())


def test_a_head_of_another_width_is_refused(tmp_path: Path) -> None:
    peftsearch.save(_applied("bert", ("lora",)), tmp_path)
    other = FACTORIES["bert"](num_labels=5)
    with pytest.raises(ConfigError, match="does not fit this model"):
        peftsearch.load(tmp_path, other)
    assert insertions_of(other) == []


def test_nothing_applied_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Nothing is applied"):
        native.save(FACTORIES["t5"](), tmp_path)


def test_an_empty_architecture_is_applied_saved_and_loaded(tmp_path: Path) -> None:
    """A search may choose nothing; what it found must travel all the same."""
    model = FACTORIES["bert"]()
    wrapped = wrap("test", model)
    empty = testing.architecture_of(wrapped, [Choice(site.id) for site in wrapped.sites])
    peftsearch.apply(model, empty)
    fresh = copy.deepcopy(FACTORIES["bert"]())
    peftsearch.save(model, tmp_path)
    loaded = peftsearch.load(tmp_path, fresh)
    assert torch.equal(testing.logits(loaded, inputs(model)), testing.logits(model, inputs(model)))
