"""What the exporter for the adapters library writes, that library loads: same logits, same counts.

That library runs beside transformers 4.57 only. The exports of this file are therefore written
first and looked at in one start of the other interpreter, except where that start is what is
tested.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file

from peftsearch import testing
from peftsearch.architecture import Choice
from peftsearch.backbones.base import Backbone, wrap
from peftsearch.backbones.loading import load_backbone
from peftsearch.errors import ExportError, MissingError
from peftsearch.export import adapters, writing
from peftsearch.export.base import Bundle, Evidence, largest_difference, logits_of, untrained
from peftsearch.micro import MODEL_DIRS
from tests.conftest import ROOT
from tests.models import FACTORIES, inputs
from tests.unit.export.material import architecture, bundle_of, choice, fitting, fresh

TARGET = "adapters"
PYTHON = Path(
    os.environ.get("PEFTSEARCH_ADAPTERS_PYTHON", ROOT / ".venv-adapters" / "bin" / "python")
)
METHODS = ("lora", "ia3", "adapter", "parallel_adapter", "prefix")
#: Types whose exports were compared there. In the last ones of FAMILIES IA3 is the same before and
#: behind the activation.
HELD = ("t5", "t5_v1_1", "mt5", "byt5", "bart", "mbart", "bart_classifier", "bert", "roberta")
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in HELD},
    "bert_relu": ("bert", {"hidden_act": "relu"}),
    "bart_relu": ("bart", {"activation_function": "relu"}),
}
#: The families in which a method is not held anywhere.
NOWHERE = {
    "parallel_adapter": {"t5", "t5_v1_1", "mt5", "byt5", "mbart"},
    "prefix": {"t5", "t5_v1_1", "mt5", "byt5"},
}
#: Names of folders, each a way of storing a backbone.
CHECKPOINTS = ("half", "parts", "odd", "my.model-v1.0")
#: Choices that are refused because that library computes something else: family, site, method.
OTHERWISE = {
    "a prefix in T5": ("t5", "encoder.01.attention", "prefix"),
    "a prefix in a decoder": ("bart_even", "decoder.00.attention", "prefix"),
    "a parallel adapter in T5": ("t5", "encoder.00.feed_forward", "parallel_adapter"),
    "a parallel adapter in mBART": ("mbart", "decoder.01.feed_forward", "parallel_adapter"),
    "IA3 before GELU": ("bert", "encoder.00.feed_forward", "ia3"),
}
needs_library = pytest.mark.skipif(
    not PYTHON.is_file(),
    reason="the adapters library lives in an environment of its own, which is not there: "
    "make adapters-env (or PEFTSEARCH_ADAPTERS_PYTHON)",
)


def _backbone(family: str, root: Path) -> Backbone:
    """Return a tiny backbone that lies in a folder of its own."""
    even = ("bart", {"decoder_attention_heads": 4})
    name, more = even if family == "bart_even" else FAMILIES[family]
    model = FACTORIES[name](**more)
    folder = root / "backbones" / family
    if not folder.exists():
        _save(model, folder)
    return wrap(str(folder), model)


def _checkpoint(family: str, name: str, root: Path) -> Backbone:
    """Return a backbone from a folder: in half precision, in parts, of an odd width, with dots."""
    model = FACTORIES[family](width=20 if name == "odd" else 32)
    folder = root / "checkpoints" / family / name
    dtype = torch.bfloat16 if name == "half" else torch.float32
    model.to(dtype).save_pretrained(folder, max_shard_size="10KB" if name == "parts" else "5GB")
    return wrap(str(folder), type(model).from_pretrained(folder, dtype=dtype).float())


def _save(model: Any, folder: Path) -> None:
    """Save a model as checkpoints on the Hub are: transformers 5 writes T5's ties in its own way.

    There a T5 always has its head tied, in word; what ties in deed is whether a head is stored.
    """
    model.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    if config["model_type"] in ("t5", "mt5"):
        tied = config["model_type"] == "t5" and model.config.scale_decoder_outputs
        config["tie_word_embeddings"] = tied
        (folder / "config.json").write_text(json.dumps(config))
        tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _named(bundle: Bundle) -> Bundle:
    """Return a bundle that says where its backbone lies, and what looks at it."""
    found = replace(bundle.architecture, model=bundle.backbone.name)
    return replace(bundle, architecture=found, python=PYTHON)


def _bundle(backbone: Backbone, choices: Iterable[Choice], std: float = 0.2) -> Bundle:
    return _named(bundle_of(backbone, choices, std=std))


class Looked(NamedTuple):
    """An export, and what that library made of it."""

    bundle: Bundle
    folder: Path
    seen: Evidence | str

    @property
    def check(self) -> dict[str, Any]:
        """The verdict, where there is something to judge."""
        assert isinstance(self.seen, Evidence), self.seen
        return writing.verdict(self.bundle, TARGET, self.seen)


def _bundles(root: Path) -> dict[str, Bundle]:
    """Return everything that is to be looked at, by name."""
    found = {}
    for family in FAMILIES:
        for method in METHODS:
            backbone = _backbone(family, root)
            choices = fitting(TARGET, backbone, [method])
            if choices:
                found[f"{family} {method}"] = _bundle(backbone, choices)
        backbone = _backbone(family, root)
        found[f"{family} mixture"] = _bundle(backbone, fitting(TARGET, backbone, METHODS, 1))
    for name, (family, site, method) in OTHERWISE.items():
        backbone = _backbone(family, root)
        size = 1 if method == "ia3" else 3
        found[name] = _bundle(backbone, [choice(backbone, site, method, size)])
    for family in ("bert", "bart"):
        for name in CHECKPOINTS:
            backbone = _checkpoint(family, name, root)
            found[f"{family} {name}"] = _bundle(backbone, fitting(TARGET, backbone, METHODS, 3))
    for name in ("truncated", "tampered", "a name of its own.1"):
        found[name] = found["roberta mixture"]
    backbone = _backbone("t5", root)
    fresh_ones = architecture(backbone, fitting(TARGET, backbone, METHODS, 2))
    found["untrained"] = _named(untrained(fresh_ones, backbone, inputs(backbone.model)))
    return found


def _spoil(name: str, folder: Path) -> None:
    path = next(folder.glob("adapter_*")) / "pytorch_adapter.bin"
    if name == "truncated":
        path.write_bytes(path.read_bytes()[:-40])
    if name == "tampered":
        tensors = torch.load(path)
        torch.save({key: tensor * 1.01 for key, tensor in tensors.items()}, path)


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Looked]:
    """Write everything, look once."""
    root = tmp_path_factory.mktemp("adapters")
    bundles = _bundles(root)
    for name, bundle in bundles.items():
        (root / name).mkdir()
        adapters.write(bundle, root / name)
        _spoil(name, root / name)
    seen = adapters.look([(bundle, root / name) for name, bundle in bundles.items()])
    return {
        name: Looked(bundle, root / name, each)
        for (name, bundle), each in zip(bundles.items(), seen, strict=True)
    }


@pytest.mark.parametrize("family", HELD)
def test_the_folders_hold_these_backbones(family: str, tmp_path: Path) -> None:
    """What the other interpreter loads is what is compared with it."""
    backbone = _backbone(family, tmp_path)
    batch = inputs(backbone.model)
    loaded = type(backbone.model).from_pretrained(backbone.name)
    assert torch.equal(logits_of(loaded, batch), logits_of(backbone.model, batch))


@pytest.mark.parametrize("family", ["gpt2", "llama", "albert"])
def test_what_was_not_compared_is_refused(family: str) -> None:
    backbone = fresh(family)
    choices = testing.choices_for(backbone, "lora")
    found = writing.problems(TARGET, architecture(backbone, choices), backbone)
    assert {(p.site, p.method) for p in found} == {(c.site, c.method) for c in choices}
    said = "compared for" if family == "albert" else "knows few decoders"
    assert all(said in problem.reason for problem in found)


@needs_library
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", [*METHODS, "mixture"])
def test_that_library_gives_the_same(method: str, family: str, looked: dict[str, Looked]) -> None:
    if family in NOWHERE.get(method, ()):
        assert f"{family} {method}" not in looked
        return
    each = looked[f"{family} {method}"]
    check = each.check
    assert check["verified"], check
    assert all(entry["trained"] == entry["num_params"] for entry in check["entries"])
    trained = sum(entry["trained"] for entry in check["entries"])
    assert trained == each.bundle.architecture.num_params > 0
    assert check["notes"]["adapters"] == "1.3.0"
    plain = logits_of(each.bundle.backbone.model, each.bundle.check_inputs)
    assert largest_difference(plain, each.bundle.check_logits) > 100 * check["tolerance"]


@needs_library
@pytest.mark.parametrize("family", ["bert", "bart"])
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_backbones_however_they_are_stored(
    name: str, family: str, looked: dict[str, Looked]
) -> None:
    each = looked[f"{family} {name}"]
    assert each.check["verified"], each.check
    assert sum(e["trained"] for e in each.check["entries"]) == each.check["num_params"] > 0


@needs_library
@pytest.mark.parametrize("name", OTHERWISE)
def test_what_is_refused_is_something_else_there(name: str, looked: dict[str, Looked]) -> None:
    """A reason that no longer holds would show here."""
    each = looked[name]
    (problem,) = writing.problems(TARGET, each.bundle.architecture, each.bundle.backbone)
    assert problem.method == OTHERWISE[name][2]
    assert each.check["max_logit_difference"] > 100 * each.check["tolerance"]


@needs_library
def test_spoilt_files_are_noticed(looked: dict[str, Looked]) -> None:
    assert "Unable to load weights" in str(looked["truncated"].seen)
    tampered = looked["tampered"].check
    assert not tampered["verified"]
    assert tampered["max_logit_difference"] > 10 * tampered["tolerance"]
    assert looked["a name of its own.1"].check["verified"]


@needs_library
def test_fresh_weights_change_nothing(looked: dict[str, Looked]) -> None:
    each = looked["untrained"]
    plain = logits_of(each.bundle.backbone.model, each.bundle.check_inputs)
    assert isinstance(each.seen, Evidence)
    assert largest_difference(each.seen.logits["load_adapter_setup"], plain) < 1e-5
    assert each.check["verified"]


@needs_library
def test_from_the_export_to_the_lines_in_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(MODEL_DIRS["micro-t5"], "my-backbone")
    backbone = load_backbone("my-backbone", 2)
    bundle = _bundle(backbone, fitting(TARGET, backbone, METHODS), std=0.05)
    check = writing.export(bundle, TARGET, Path("export/adapters"))
    assert check["verified"]
    section = (ROOT / "docs" / "export.md").read_text(encoding="utf-8").split("\n## adapters\n")[1]
    block = re.findall(r"```python\n(.*?)```", section.split("\n## ")[0], flags=re.DOTALL)[0]
    lines = json.loads(Path("export/adapters/check.json").read_text())["load"]
    save_file(dict(bundle.check_inputs), "inputs.safetensors")
    code = ["from safetensors.torch import load_file, save_file"]
    for name, part in (("docs", block), ("check", "\n".join(lines))):
        ask = "logits = model.eval()(**load_file('inputs.safetensors')).logits.detach()"
        code += [part, ask, f"save_file({{'logits': logits}}, '{name}.safetensors')"]
    subprocess.run([PYTHON, "-I", "-c", "\n".join(code)], check=True, capture_output=True)
    for name in ("docs", "check"):
        found = load_file(f"{name}.safetensors")["logits"]
        assert largest_difference(found, bundle.check_logits) <= check["tolerance"]


def test_without_its_interpreter_one_sentence_says_how_to_get_it(tmp_path: Path) -> None:
    backbone = fresh("t5")
    bundle = bundle_of(backbone, [choice(backbone, "encoder.00.attention", "adapter", 3)])
    with pytest.raises(MissingError, match="in an interpreter of its own") as caught:
        writing.export(bundle, TARGET, tmp_path / "x")
    assert "make adapters-env" in caught.value.hint
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho 'No module named adapters' >&2; exit 1\n")
    script.chmod(0o755)
    with pytest.raises(MissingError, match="cannot load the adapters library: No module named"):
        writing.export(replace(bundle, python=script), TARGET, tmp_path / "x")
    assert list(tmp_path.iterdir()) == [script]


def _reasons(backbone: Backbone, *choices: Choice) -> dict[tuple[str, str], str]:
    found = writing.problems(TARGET, architecture(backbone, choices), backbone)
    return {(p.site, p.method): p.reason for p in found}


def test_modules_that_library_does_not_reach() -> None:
    backbone = fresh("t5_v1_1")
    found = _reasons(
        backbone,
        choice(backbone, "encoder.00.attention", "lora", 2, "q", "o"),
        choice(backbone, "encoder.00.feed_forward", "lora", 2, "gate", "up"),
        choice(backbone, "encoder.01.feed_forward", "lora", 2, "up", "down"),
    )
    assert found == {
        ("encoder.00.attention", "lora"): "adapters has lora on q, k, v alone, not on o",
        ("encoder.00.feed_forward", "lora"): "adapters has lora on up, down alone, not on gate",
    }


def test_both_attentions_of_a_decoder_layer_or_none() -> None:
    backbone = fresh("bart")
    own, cross = "decoder.00.attention", "decoder.00.cross_attention"
    one = choice(backbone, own, "lora", 2, "q", "v")
    assert (
        "would put the same on the layer's cross_attention" in _reasons(backbone, one)[own, "lora"]
    )
    twin = choice(backbone, cross, "lora", 2, "v", "q")
    assert _reasons(backbone, one, twin) == {}
    for other in (
        choice(backbone, cross, "lora", 3, "q", "v"),
        choice(backbone, cross, "lora", 2, "q"),
        choice(backbone, "decoder.01.cross_attention", "lora", 2, "q", "v"),
    ):
        assert set(_reasons(backbone, one, other)) == {(own, "lora"), (other.site, "lora")}
    assert _reasons(backbone, choice(backbone, "encoder.00.attention", "lora", 2, "q")) == {}


def test_what_meets_on_one_module() -> None:
    backbone = fresh("t5")
    site, inner = "encoder.00.attention", "encoder.00.feed_forward"
    lora, ia3 = (choice(backbone, site, m, 2, "k", "v") for m in ("lora", "ia3"))
    assert set(_reasons(backbone, lora, ia3)) == {(site, "lora"), (site, "ia3")}
    assert _reasons(backbone, choice(backbone, site, "lora", 2, "q"), ia3) == {}
    two = [choice(backbone, site, "lora", n, *names) for n, names in ((2, "q"), (3, "qk"))]
    assert set(_reasons(backbone, *two)) == {(site, "lora")}
    scaled = choice(backbone, inner, "ia3", 1)
    assert _reasons(backbone, choice(backbone, inner, "lora", 2, "down"), scaled) == {}
    up = choice(backbone, inner, "lora", 2, "up")
    assert set(_reasons(backbone, up, scaled)) == {(inner, "lora"), (inner, "ia3")}


def test_serial_and_parallel_adapter_at_one_feed_forward() -> None:
    backbone, inner = fresh("bert"), "encoder.00.feed_forward"
    serial, parallel = (choice(backbone, inner, m, 2) for m in ("adapter", "parallel_adapter"))
    assert set(_reasons(backbone, serial, parallel)) == {
        (inner, serial.method),
        (inner, parallel.method),
    }
    elsewhere = choice(backbone, "encoder.01.feed_forward", "parallel_adapter", 2)
    assert _reasons(backbone, serial, elsewhere) == {}


def test_negative_factors_before_a_relu_are_refused(tmp_path: Path) -> None:
    site = "encoder.00.feed_forward"
    for family, refused in (("t5", True), ("t5_v1_1", False)):
        backbone = fresh(family)
        bundle = _bundle(backbone, [choice(backbone, site, "ia3", 1)])
        bundle.of(site, "ia3", "down")["delta"][:2] = -1.5
        folder = tmp_path / family
        folder.mkdir()
        if refused:
            with pytest.raises(ExportError, match=f"{site}: ia3: 2 negative factors"):
                adapters.write(bundle, folder)
        else:
            adapters.write(bundle, folder)


def test_an_empty_architecture_is_refused() -> None:
    assert "nothing was chosen" in _reasons(fresh("t5"))["all sites", "none"]
