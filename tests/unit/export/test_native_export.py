"""The package's own format: exact, checked for changes, helpful when it does not fit."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import peftsearch
from peftsearch import catalogue, testing
from peftsearch.architecture import Choice
from peftsearch.backbones.base import wrap
from peftsearch.catalogue import method_facts
from peftsearch.errors import ConfigError, ExportError
from peftsearch.export import native
from peftsearch.export.base import Bundle, logits_of
from peftsearch.export.sample import sample_inputs
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


def _saved(tmp_path: Path, *methods: str) -> Path:
    """An export of a T5 with the methods given, and everything that may be in one."""
    peftsearch.save(_applied("t5", methods or ("lora", "ia3", "prefix")), tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name", ["adapter.safetensors", "architecture.json", "check.safetensors", "native.json"]
)
@pytest.mark.parametrize("how", ["changed", "truncated", "absent"])
def test_a_file_that_is_not_as_written_is_refused(name: str, how: str, tmp_path: Path) -> None:
    path = _saved(tmp_path) / name
    content = path.read_bytes()
    if how == "absent":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif name == "native.json":
        path.write_bytes(content.replace(b'"num_labels": 2', b'"num_labels": 3'))
    else:
        path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    model = FACTORIES["t5"]()
    with pytest.raises((ConfigError, ExportError), match=name):
        peftsearch.load(tmp_path, model)
    assert insertions_of(model) == []


def _rewritten(folder: Path, **changes: Any) -> None:
    """Change the document and seal it again, as another version would have written it."""
    document = json.loads((folder / "native.json").read_text())
    document.update(changes)
    document.pop("seal")
    (folder / "native.json").write_text(json.dumps({**document, "seal": native._seal(document)}))


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_an_unknown_version_is_refused(version: object, tmp_path: Path) -> None:
    _rewritten(_saved(tmp_path), format=version)
    with pytest.raises(ConfigError, match="is not of format 1, which this reads, but"):
        peftsearch.load(tmp_path, FACTORIES["t5"]())


def test_keys_of_a_later_minor_version_are_passed_over(tmp_path: Path) -> None:
    _rewritten(_saved(tmp_path), remarks="more than this version knows of")
    assert insertions_of(peftsearch.load(tmp_path, FACTORIES["t5"]()))


def test_another_order_of_composition_is_refused(tmp_path: Path) -> None:
    _rewritten(_saved(tmp_path), composition_order=["ia3", "lora", "prefix"])
    with pytest.raises(ConfigError, match="ia3, lora, prefix; here the order is lora, ia3, prefix"):
        peftsearch.load(tmp_path, FACTORIES["t5"]())


def test_exports_from_before_version_1_was_fixed(tmp_path: Path) -> None:
    """They have four keys and no seal; with more keys, the seal must be there."""
    document = json.loads((_saved(tmp_path) / "native.json").read_text())
    early = {key: document[key] for key in ("format", "base", "num_labels", "sha256")}
    (tmp_path / "native.json").write_text(json.dumps(early))
    assert insertions_of(peftsearch.load(tmp_path, FACTORIES["t5"]()))
    document.pop("seal")
    (tmp_path / "native.json").write_text(json.dumps(document))
    with pytest.raises(ExportError, match="was changed after it was written"):
        peftsearch.load(tmp_path, FACTORIES["t5"]())


def test_the_check_input_tells_backbones_apart(tmp_path: Path) -> None:
    """Same shape, other weights: only the logits know."""
    _saved(tmp_path)
    peftsearch.load(tmp_path, FACTORIES["t5"](), check=True)
    other = FACTORIES["t5"]()
    with torch.no_grad():
        other.shared.weight.mul_(1.01)
    with pytest.raises(ExportError, match="made on another backbone"):
        peftsearch.load(tmp_path, other, check=True)


@pytest.mark.parametrize("family", FACTORIES)
def test_the_sample_input_runs_on_every_family(family: str) -> None:
    model = FACTORIES[family]()
    inputs_of = sample_inputs(model)
    assert inputs_of is not None
    logits = testing.logits(model, inputs_of)
    assert logits.isfinite().all()
    if "attention_mask" not in inputs_of:  # images are not padded
        return
    longer = {**inputs_of, "input_ids": inputs_of["input_ids"].clone()}
    longer["input_ids"][inputs_of["attention_mask"] == 0] = 5  # padding is masked
    by_place = ("roberta", "bart_classifier", "llama_classifier", "gpt2_classifier", "siglip")
    if family in by_place:
        return  # positions, and which token is the last, come from ids
    found = testing.logits(model, longer)
    if type(model).__name__.endswith(("ForCausalLM", "LMHeadModel")):  # a logit at every token
        seen = inputs_of["attention_mask"].bool()
        found, logits = found[seen], logits[seen]
    torch.testing.assert_close(found, logits)


def test_saving_leaves_the_model_in_training(tmp_path: Path) -> None:
    model = _applied("bert", ("lora",)).train()
    model.classifier.eval()
    peftsearch.save(model, tmp_path)
    assert model.training
    assert model.bert.training
    assert not model.classifier.training


def test_the_document_names_what_it_was_made_for(tmp_path: Path) -> None:
    document = json.loads((_saved(tmp_path) / "native.json").read_text())
    assert document["model_type"] == "t5"
    assert document["stacks"] == {"encoder": 2, "decoder": 2}
    assert document["composition_order"] == ["lora", "ia3", "prefix"]
    assert document["head"] == []
    assert set(document["sha256"]) == {
        path.name for path in tmp_path.iterdir() if path.name != "native.json"
    }


def _check_schema(kind: str, document: object) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(catalogue.schemas()[kind].read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(document)


def test_what_is_written_keeps_the_schemas(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    model = _applied("bert", ("lora", "adapter"))
    peftsearch.save(model, tmp_path)
    for kind in ("native", "architecture"):
        document = json.loads((tmp_path / f"{kind}.json").read_text())
        _check_schema(kind, document)
        for key in document:
            without = {name: value for name, value in document.items() if name != key}
            with pytest.raises(jsonschema.ValidationError, match=key):
                _check_schema(kind, without)
            with pytest.raises(jsonschema.ValidationError):
                _check_schema(kind, {**document, key: object()})


@pytest.mark.parametrize(
    ("backbone", "labels"), [("llama", 0), ("llama_classifier", 3), ("t5", 2), ("vit", 3)]
)
def test_the_labels_of_every_head_keep_the_schema(
    backbone: str, labels: int, tmp_path: Path
) -> None:
    peftsearch.save(_applied(backbone, ("lora",)), tmp_path)
    document = json.loads((tmp_path / "native.json").read_text())
    assert document["num_labels"] == labels
    _check_schema("native", document)


SAMPLES = Path(__file__).resolve().parents[2] / "samples"


@pytest.mark.parametrize("folder", sorted(SAMPLES.glob("native-*")), ids=lambda path: path.name)
def test_kept_samples_load_for_ever(folder: Path) -> None:
    """One of every version of the format, with all methods, and the backbone it belongs to."""
    backbone = transformers.T5ForConditionalGeneration.from_pretrained(folder / "backbone")
    model = peftsearch.load(folder / "export", backbone, check=True)
    architecture = model.peftsearch_architecture
    assert set(architecture.methods) == {name for name in method_facts() if name != "none"}
    assert sum(i.num_params for i in insertions_of(model)) == architecture.num_params


def test_there_is_a_sample_of_this_version() -> None:
    assert (SAMPLES / f"native-{native.FORMAT}" / "export" / "native.json").is_file()


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
