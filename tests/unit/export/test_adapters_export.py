"""What the exporter for the adapters library writes, that library loads: same logits, same counts.

Where it is not so, that is shown too: the reasons of what is refused are true.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BartForCausalLM, DistilBertForQuestionAnswering

from peftsearch.backbones.base import Backbone, wrap
from peftsearch.backbones.loading import load_backbone
from peftsearch.catalogue import exporters, families
from peftsearch.errors import MissingError
from peftsearch.export import writing
from peftsearch.export.base import Bundle, Evidence, largest_difference, logits_of, untrained
from peftsearch.micro import MODEL_DIRS
from tests.conftest import ROOT
from tests.models import FACTORIES, inputs, randomise
from tests.unit.export.adapters_material import (
    FAMILIES,
    HELD,
    METHODS,
    MODELS,
    PYTHON,
    TARGET,
    Looked,
    look_at,
    named,
    needs_library,
    on_disk,
    stored,
    trained,
    written,
)
from tests.unit.export.material import architecture, bundle_of, choice, fitting, fresh

#: The families in which a method is not held anywhere.
_T5 = {"t5", "t5_v1_1", "mt5", "byt5"}
_DECODERS = {"gpt2", "gpt2_classifier", "gpt2_relu", "llama", "llama_classifier", "mistral"}
_DECODERS |= {"qwen2", "qwen3", "gemma2", "gemma3", "phi"}
_NORM_IN_FRONT = {"mbart", "vit", "vit_relu", "clip", "whisper"}
NOWHERE = {
    "parallel_adapter": _T5 | _DECODERS | _NORM_IN_FRONT,
    "ia3": {"gpt2", "gpt2_classifier"},
    "prefix": _T5 | _DECODERS | {"distilbert", "distilbert_relu", "deberta_v2", "deberta_v3"},
}
#: Families whose methods are looked at one by one in the quick tests too.
_ONE_BY_ONE = ("bert_relu", "t5", "bart", "llama", "clip")
#: Names of folders, each a way of storing a backbone.
CHECKPOINTS = ("half", "parts", "odd", "my.model-v1.0")
#: Choices that are refused because that library computes something else: family, site, method.
OTHERWISE = {
    "a prefix in T5": ("t5", "encoder.01.attention", "prefix"),
    "a prefix in a decoder": ("bart_even", "decoder.00.attention", "prefix"),
    "a prefix in DistilBERT": ("distilbert", "encoder.00.attention", "prefix"),
    "a prefix in GPT-2": ("gpt2", "decoder.00.attention", "prefix"),
    "a prefix in Llama": ("llama", "decoder.01.attention", "prefix"),
    "a parallel adapter in T5": ("t5", "encoder.00.feed_forward", "parallel_adapter"),
    "a parallel adapter in mBART": ("mbart", "decoder.01.feed_forward", "parallel_adapter"),
    "a parallel adapter in ViT": ("vit", "encoder.00.feed_forward", "parallel_adapter"),
    "a parallel adapter in Gemma 3": ("gemma3", "decoder.00.feed_forward", "parallel_adapter"),
    "IA3 before GELU": ("bert", "encoder.00.feed_forward", "ia3"),
    "IA3 before GELU in a tower": ("clip", "vision.00.feed_forward", "ia3"),
    "an adapter behind ALBERT's attention": ("albert", "encoder.00.attention", "adapter"),
    "anything in DeBERTa": ("deberta", "encoder.01.feed_forward", "lora"),
    "anything in ModernBERT": ("modernbert", "encoder.00.feed_forward", "adapter"),
}
#: Choices that are refused because that library fails on them: family, sites with methods, and a
#: part of what it says.
FAILING: dict[str, tuple[str, dict[str, str], str]] = {
    "on one map, beside another": (
        "gpt2",
        {"decoder.00.attention": "ia3", "decoder.01.feed_forward": "adapter"},
        "Invalid adapter setup",
    ),
    "parallel to Phi": ("phi", {"decoder.00.feed_forward": "parallel_adapter"}, "not NoneType"),
    "a prefix in Qwen2": ("qwen2", {"decoder.00.attention": "prefix"}, "not supported"),
    "one tower": ("clip_classifier", {"vision.00.attention": "lora"}, "init_adapters"),
    "a decoder alone": ("bart_decoder", {"decoder.00.attention": "adapter"}, "'shape'"),
    "an unknown type": ("camembert", {"encoder.00.attention": "lora"}, "not pre-supported"),
}


def _checkpoint(family: str, name: str, root: Path) -> Backbone:
    """Return a backbone from a folder: in half precision, in parts, of an odd width, with dots."""
    model = FACTORIES[family](width=20 if name == "odd" else 32)
    folder = root / "checkpoints" / family / name
    dtype = torch.bfloat16 if name == "half" else torch.float32
    model.to(dtype).save_pretrained(folder, max_shard_size="10KB" if name == "parts" else "5GB")
    return wrap(str(folder), type(model).from_pretrained(folder, dtype=dtype).float())


def _methods(family: str, root: Path) -> dict[str, Bundle]:
    """Return one bundle for each method that is held somewhere in a family."""
    found = {}
    for method in METHODS:
        backbone = stored(family, root)
        choices = fitting(TARGET, backbone, [method])
        if choices:
            found[f"{family} {method}"] = trained(backbone, choices)
    return found


def _mixtures(root: Path) -> dict[str, Bundle]:
    """Return everything at once on every family, and on a head for begin and end."""
    backbones = {family: stored(family, root) for family in FAMILIES}
    config = MODELS["distilbert"](num_labels=2).config
    span = randomise(DistilBertForQuestionAnswering(config))
    backbones["span"] = on_disk(span, root / "backbones" / "span")
    return {
        f"{name} mixture": trained(backbone, fitting(TARGET, backbone, METHODS, 1))
        for name, backbone in backbones.items()
    }


def _refused(root: Path) -> dict[str, Bundle]:
    """Return what is refused, as it would be written."""
    found = {}
    for name, (family, site, method) in OTHERWISE.items():
        backbone = stored(family, root)
        found[name] = trained(backbone, [choice(backbone, site, method, _size(method))])
    for name, (family, methods, _) in FAILING.items():
        if family == "bart_decoder":
            model = randomise(BartForCausalLM(MODELS["bart"]().config))
            backbone = on_disk(model, root / "backbones" / family)
        else:
            backbone = stored(family, root)
        choices = [choice(backbone, site, m, _size(m)) for site, m in methods.items()]
        found[name] = trained(backbone, choices)
    return found


def _size(method: str) -> int:
    return 1 if method == "ia3" else 3


def _bundles(root: Path) -> dict[str, Bundle]:
    """Return everything that the quick tests look at, by name."""
    found = {**_mixtures(root), **_refused(root)}
    for family in _ONE_BY_ONE:
        found |= _methods(family, root)
    for family in ("bert", "bart"):
        for name in CHECKPOINTS:
            backbone = _checkpoint(family, name, root)
            found[f"{family} {name}"] = trained(backbone, fitting(TARGET, backbone, METHODS, 3))
    for name in ("truncated", "tampered", "a name of its own.1"):
        found[name] = found["roberta mixture"]
    backbone = stored("gpt2", root)
    alone = choice(backbone, "decoder.00.attention", "ia3", 1)
    found["on one map, alone"] = trained(backbone, [alone])
    backbone = stored("t5", root)
    fresh_ones = architecture(backbone, fitting(TARGET, backbone, METHODS, 2))
    found["untrained"] = named(untrained(fresh_ones, backbone, inputs(backbone.model)))
    return found


def _spoil(name: str, folder: Path) -> None:
    path = next(folder.glob("adapter_*")) / "pytorch_adapter.bin"
    if name == "truncated":
        path.write_bytes(path.read_bytes()[:-40])
    if name == "tampered":
        tensors = torch.load(path)
        torch.save({key: tensor * 1.01 for key, tensor in tensors.items()}, path)


def _split(folder: Path) -> None:
    """Name the matrices of an IA3 on one map as that library does."""
    path = folder / "ia3_attention_qkv" / "adapter_config.json"
    path.write_text(path.read_text().replace('"qkv"', '"q", "k", "v"'))


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Looked]:
    """Write everything, look once."""
    root = tmp_path_factory.mktemp("adapters")
    exports = written(_bundles(root), root)
    for name in ("truncated", "tampered"):
        _spoil(name, root / name)
    for name in ("on one map, alone", "on one map, beside another"):
        _split(root / name)
    return look_at(exports)


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Looked]:
    """Write every method on all other families, look once."""
    root = tmp_path_factory.mktemp("methods")
    rest = [family for family in FAMILIES if family not in _ONE_BY_ONE]
    bundles = {name: b for family in rest for name, b in _methods(family, root).items()}
    return look_at(written(bundles, root))


@pytest.mark.parametrize("family", HELD)
def test_the_folders_hold_these_backbones(family: str, tmp_path: Path) -> None:
    """What the other interpreter loads is what is compared with it."""
    backbone = stored(family, tmp_path)
    batch = inputs(backbone.model)
    kept = backbone.model.config._attn_implementation
    loaded = type(backbone.model).from_pretrained(backbone.name, attn_implementation=kept)
    assert torch.equal(logits_of(loaded, batch), logits_of(backbone.model, batch))


@needs_library
def test_the_table_knows_the_types_that_the_library_knows() -> None:
    """Read from its files: its models, and the types that it hooks into."""
    find = "import importlib.util as u; print(u.find_spec('adapters').origin)"
    asked = subprocess.run([PYTHON, "-I", "-c", find], capture_output=True, text=True, check=True)
    package = Path(asked.stdout.strip()).parent
    known = {path.name for path in (package / "models").iterdir()}
    hooked = (package / "wrappers" / "interfaces.py").read_text(encoding="utf-8")
    known |= set(re.findall(r'^    "(\w+)": AdapterModelInterface', hooked, re.MULTILINE))
    card = exporters()[TARGET]
    for family in families():
        said = "does not know" in card.reason("lora", "attention", family)
        assert said == (family.replace("-", "_") not in known), family


def _same(each: Looked) -> None:
    """Check that an export gives the same logits there, and trains as many parameters."""
    check = each.check
    assert check["verified"], check
    assert all(entry["trained"] == entry["num_params"] for entry in check["entries"])
    counted = sum(entry["trained"] for entry in check["entries"])
    assert counted == each.bundle.architecture.num_params > 0
    assert check["notes"]["adapters"] == "1.3.0"
    plain = logits_of(each.bundle.backbone.model, each.bundle.check_inputs)
    assert largest_difference(plain, each.bundle.check_logits) > 100 * check["tolerance"]


@needs_library
@pytest.mark.parametrize("family", [*FAMILIES, "span"])
def test_that_library_gives_the_same(family: str, looked: dict[str, Looked]) -> None:
    _same(looked[f"{family} mixture"])


_EACH = [
    pytest.param(family, marks=[pytest.mark.slow] * (family not in _ONE_BY_ONE))
    for family in FAMILIES
]


@needs_library
@pytest.mark.parametrize("family", _EACH)
@pytest.mark.parametrize("method", METHODS)
def test_that_library_gives_the_same_with_each_method(
    method: str, family: str, request: pytest.FixtureRequest
) -> None:
    seen = request.getfixturevalue("looked" if family in _ONE_BY_ONE else "one_by_one")
    if family in NOWHERE.get(method, ()):
        assert f"{family} {method}" not in seen
    else:
        _same(seen[f"{family} {method}"])


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
@pytest.mark.parametrize("name", FAILING)
def test_what_is_refused_fails_there(name: str, looked: dict[str, Looked]) -> None:
    each = looked[name]
    assert writing.problems(TARGET, each.bundle.architecture, each.bundle.backbone)
    assert FAILING[name][2] in str(each.seen)


@needs_library
def test_a_map_of_queries_keys_and_values_wants_to_be_alone(looked: dict[str, Looked]) -> None:
    """As the reason says; as one of several it fails, see above."""
    assert looked["on one map, alone"].check["verified"]


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
    bundle = trained(backbone, fitting(TARGET, backbone, METHODS), std=0.05)
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
