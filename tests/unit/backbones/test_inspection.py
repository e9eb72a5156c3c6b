"""Models of unknown types: what inspection finds, and what a description says."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import transformers
import yaml
from torch import nn

from peftsearch import testing
from peftsearch.backbones.base import hosts_of, wrap
from peftsearch.backbones.described import described_hosts
from peftsearch.backbones.description import parse_description, read_description
from peftsearch.backbones.inspection import inspect_model
from peftsearch.catalogue import families, method_facts
from peftsearch.errors import ConfigError
from peftsearch.injection import apply
from peftsearch.methods.base import SiteHost
from tests.models import FACTORIES, KIN, inputs, randomise

METHODS = [name for name in method_facts() if name != "none"]
SETTINGS: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 40,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "num_labels": 3,
    "pad_token_id": 0,
}
MPNET = """
model_type: mpnet
stacks:
  encoder:
    layers: encoder.layer.{}
    attention:
      q: attention.attn.q
      k: attention.attn.k
      v: attention.attn.v
      o: attention.attn.o
      norm: attention.LayerNorm
    feed_forward:
      up: intermediate.dense
      down: output.dense
      norm: output.LayerNorm
"""


def model_of(kind: str, head: str = "ForSequenceClassification", **more: Any) -> Any:
    """Return a tiny model of a family that has no file here."""
    config = getattr(transformers, f"{kind}Config")(**{**SETTINGS, **more})
    return randomise(getattr(transformers, kind + head)(config))


def where(hosts: list[SiteHost]) -> dict[str, dict[str, int]]:
    """Return the modules of each site by their identity."""
    return {h.site.id: {name: id(m) for name, m in h.modules.items()} for h in hosts}


#: Decoders whose files know more than names and shapes tell: norms per head or behind a part, gates
#: in one map, experts, or that a model with a head for labels is a decoder.
BESIDES = {"llama_classifier", "gpt2_classifier", "qwen3", "gemma2", "gemma3", "phi", "phi3"}
BESIDES |= {"mixtral", "olmoe"}
#: Inspection takes one of several stages, and refuses two encoders.
BESIDES |= {"swin", "clip", "siglip", "clip_classifier"}


@pytest.mark.parametrize("family", [f for f in (*FACTORIES, *KIN) if f not in BESIDES])
def test_inspection_finds_what_the_files_of_families_say(family: str) -> None:
    """Every known family is an independent answer: written by hand, and not asked here."""
    model = {**FACTORIES, **KIN}[family]()
    found = described_hosts(inspect_model(model), model)
    assert where(found) == where(hosts_of(model))
    heads = {host.site.id: host.num_heads for host in hosts_of(model)}
    for host in found:
        if "prefix" not in host.site.refused and model.config.model_type != "bart":
            assert (
                host.core is None
                or host.num_heads == heads[host.site.id]
                or "decoder" in str(host.site.id)
            )


@pytest.mark.parametrize("kind", ["MPNet", "XLMRobertaXL", "Esm", "RemBert"])
def test_unknown_encoders_keep_the_contract(kind: str) -> None:
    model = model_of(kind)
    assert model.config.model_type not in families()
    backbone = wrap("test", copy.deepcopy(model))
    assert len(backbone.sites) == 6
    assert backbone.notice.startswith(f'Models of type "{model.config.model_type}" are not known')
    assert "encoder: 2 layers, attention (q, k, v, o), feed_forward (up, down)" in backbone.notice
    for method in METHODS:
        if testing.choices_for(backbone, method):
            for check in ("on", "gradients", "removal"):
                own = copy.deepcopy(model)
                testing.CHECKS[check](method, own, inputs(own))
        else:
            assert all(
                "attention" in site.refused[method]
                for site in backbone.sites
                if site.part == "attention"
            )


def test_what_inspection_says_can_be_written_and_read() -> None:
    for family in ("t5_v1_1", "modernbert", "deberta"):
        found = inspect_model(FACTORIES[family]())
        assert parse_description(yaml.safe_load(found.to_yaml()), "x.yaml") == found


def test_a_description_is_what_inspection_finds(tmp_path: Path) -> None:
    (tmp_path / "mpnet.yaml").write_text(MPNET, encoding="utf-8")
    description = read_description(tmp_path / "mpnet.yaml")
    model = model_of("MPNet")
    assert description == inspect_model(model)
    backbone = wrap("test", model, description=description)
    assert backbone.notice == ""
    assert where(backbone.hosts) == where(described_hosts(description, model))
    choices = testing.choices_for(backbone, "lora")
    assert where(hosts_of(apply(model, testing.architecture_of(backbone, choices)))) == where(
        backbone.hosts
    )


def test_a_description_goes_before_the_family(tmp_path: Path) -> None:
    text = MPNET.replace("mpnet", "bert").replace("attn.o", "output.dense")
    for name, full in {"q": "query", "k": "key", "v": "value"}.items():
        text = text.replace(f"attn.{name}", f"self.{full}")
    text = text.replace("attention.attn", "attention").replace(
        "attention.LayerNorm", "attention.output.LayerNorm"
    )
    text = text.replace("norm: output.LayerNorm", "")
    (tmp_path / "bert.yaml").write_text(text, encoding="utf-8")
    model = FACTORIES["bert"]()
    backbone = wrap("test", model, description=read_description(tmp_path / "bert.yaml"))
    assert [host.site.modules for host in backbone.hosts[:3]][2] == ("attention",)


def problems_of(text: str) -> str:
    """Return the messages that a text ends in."""
    with pytest.raises(ConfigError) as caught:
        parse_description(yaml.safe_load(text), "x.yaml")
    return f"{caught.value.message} {caught.value.hint}"


def test_every_problem_of_a_description_is_named() -> None:
    text = """
modeltype: mpnet
stacks:
  encoder:
    layers: encoder.layer
    attention: {q: a, k: b, o: c, heads: 0, width: 3}
    feed_forward: {up: 3, gate: y, norms: z}
  Other: {attention: {qkv: a, q: b, o: c, widths: [1, 2]}}
"""
    found = problems_of(text)
    for sentence in (
        'x.yaml: unknown key "modeltype"',
        "stacks.encoder.layers must be a path with one {} for the number, not encoder.layer.",
        'stacks.encoder.attention: unknown key "width"',
        "stacks.encoder.attention does not say where v is.",
        "stacks.encoder.attention.heads must be a number or a key of the model's config, not 0.",
        "stacks.encoder.feed_forward.up must be a path within the layer, not 3.",
        'stacks.encoder.feed_forward: unknown key "norms"',
        "stacks.encoder.feed_forward does not say where down is.",
        "stacks.Other: a name is of small letters",
        "stacks.Other.attention has qkv, and q, k or v beside it",
        "stacks.Other.attention.widths must be three whole numbers",
    ):
        assert sentence in found
    for empty in (
        "[]",
        "stacks: []",
        "stacks: {encoder: 3}",
        "stacks: {encoder: {layers: 'x.{}'}}",
    ):
        assert problems_of(empty)


def test_a_description_that_is_not_of_the_model(tmp_path: Path) -> None:
    model = model_of("MPNet")
    for old, new, said in (
        ("mpnet", "esm", "describes models of type esm, and this one is of type mpnet"),
        ("encoder.layer.{}", "encoder.layers.{}", "the model has no encoder.layers.{}"),
        (
            "attn.q",
            "attn.query",
            'encoder.attention.q: a layer has no module "attention.attn.query"',
        ),
        ("intermediate.dense", "output.LayerNorm", "feed_forward.up is of class LayerNorm"),
    ):
        file = tmp_path / "x.yaml"
        file.write_text(MPNET.replace(old, new), encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            described_hosts(read_description(file), model)
        assert said in caught.value.message
    with pytest.raises(ConfigError, match="does not exist"):
        read_description(tmp_path / "none.yaml")
    file.write_text("a: [", encoding="utf-8")
    with pytest.raises(ConfigError, match="is not YAML"):
        read_description(file)


def test_what_is_not_recognised_is_named() -> None:
    with pytest.raises(ConfigError, match="no list of layers of one class") as caught:
        hosts_of(model_of("FNet", num_attention_heads=4, hidden_size=8, intermediate_size=8))
    assert "--backbone FILE.yaml" in caught.value.hint
    with pytest.raises(ConfigError, match=r"no attention was found .*conv_out_layer"):
        hosts_of(model_of("ConvBert"))


def test_a_feed_forward_that_is_not_recognised_is_told() -> None:
    backbone = wrap("test", model_of("MobileBert", embedding_size=16, intra_bottleneck_size=16))
    assert {site.part for site in backbone.sites} == {"attention"}
    assert "encoder: no feed-forward; encoder: no norms" in backbone.notice


def test_maps_that_are_no_modules_are_not_taken_for_an_attention() -> None:
    """A ``nn.MultiheadAttention`` never calls its maps, so nothing there could act."""
    layer = nn.TransformerEncoderLayer(16, 2, 32)
    model: Any = nn.Module()
    model.layers = nn.ModuleList([layer, copy.deepcopy(layer)])
    model.config = transformers.PretrainedConfig()
    model.base_model_prefix = ""
    with pytest.raises(ConfigError, match="not known"):
        inspect_model(model)
