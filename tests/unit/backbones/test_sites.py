"""Which sites each family has, in which order, and what counts as backbone and as head."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.pytorch_utils import Conv1D

from peftsearch.backbones.base import hosts_of, module_paths, wrap
from peftsearch.backbones.loading import load_backbone, sketch_backbone
from peftsearch.errors import ConfigError
from peftsearch.formats import Feature, mean_number
from peftsearch.site import PARTS
from tests.decoder_models import DECODERS
from tests.models import FACTORIES, inputs
from tests.pipeline.material import build


def test_sites_of_a_t5() -> None:
    backbone = wrap("test", FACTORIES["byt5"]())
    ids = [site.id for site in backbone.sites]
    encoder = [f"encoder.{i:02d}.{p}" for i in range(3) for p in ("attention", *PARTS[2:])]
    assert ids == [*encoder, *(f"decoder.00.{part}" for part in PARTS)]
    by_id = {site.id: site.modules for site in backbone.sites}
    assert by_id["decoder.00.feed_forward"] == ("up", "gate", "down")
    assert by_id["decoder.00.norm"] == ("attention", "cross_attention", "feed_forward")
    assert by_id["encoder.02.norm"] == ("attention", "feed_forward")
    plain = {site.id: site.modules for site in wrap("test", FACTORIES["t5"]()).sites}
    assert plain["encoder.00.feed_forward"] == ("up", "down")


def test_a_gated_feed_forward_names_its_maps_by_what_they_do() -> None:
    """The gate is the map under the activation."""
    model = FACTORIES["t5_v1_1"]()
    host = next(h for h in hosts_of(model) if h.site.id == "encoder.00.feed_forward")
    dense: Any = model.encoder.block[0].layer[-1].DenseReluDense
    x = torch.randn(2, 3, 32)
    m = host.modules
    wanted = m["down"](dense.act(m["gate"](x)) * m["up"](x))
    torch.testing.assert_close(dense(x), wanted)


@pytest.mark.parametrize("family", ["bart", "mbart", "bart_classifier"])
def test_sites_of_a_bart(family: str) -> None:
    backbone = wrap("test", FACTORIES[family](encoder_layers=3, decoder_layers=1))
    ids = [site.id for site in backbone.sites]
    encoder = [f"encoder.{i:02d}.{p}" for i in range(3) for p in ("attention", *PARTS[2:])]
    assert ids == [*encoder, *(f"decoder.00.{part}" for part in PARTS)]
    by_id = {site.id: site.modules for site in backbone.sites}
    assert by_id["decoder.00.cross_attention"] == ("q", "k", "v", "o")
    assert by_id["decoder.00.feed_forward"] == ("up", "down")
    assert by_id["decoder.00.norm"] == ("attention", "cross_attention", "feed_forward")
    heads = {host.site.stack: host.num_heads for host in backbone.hosts if host.core is not None}
    assert heads == {"encoder": 4, "decoder": 2}


@pytest.mark.parametrize("kind", ["BartForCausalLM", "MBartForCausalLM"])
def test_a_decoder_alone_has_no_cross_attention(kind: str) -> None:
    """Without an encoder it never runs, so nothing there could be trained."""
    import transformers

    config = FACTORIES["mbart" if kind[0] == "M" else "bart"]().config
    model = getattr(transformers, kind)(config)
    parts = ("attention", "feed_forward", "norm")
    ids = [host.site.id for host in hosts_of(model)]
    assert ids == [f"decoder.{layer:02d}.{part}" for layer in range(2) for part in parts]
    assert hosts_of(model)[2].site.modules == ("attention", "feed_forward")


@pytest.mark.parametrize("family", FACTORIES)
def test_sites_stand_in_the_order_of_the_forward_pass(family: str) -> None:
    model = FACTORIES[family]()
    hosts = [h for h in hosts_of(model) if h.site.part != "norm" and h.modules]
    seen: list[str] = []
    for host in hosts:
        last = host.modules["o" if "o" in host.modules else "down"]
        last.register_forward_hook(lambda m, a, o, name=host.site.id: seen.append(name))
    model(**inputs(model))
    if family == "albert":  # every layer is run twice
        seen = list(dict.fromkeys(seen))
    assert seen == [host.site.id for host in hosts]


@pytest.mark.parametrize("family", FACTORIES)
def test_every_linear_map_and_norm_of_a_layer_is_at_exactly_one_site(family: str) -> None:
    model = FACTORIES[family]()
    held = [id(m) for h in hosts_of(model) for m in h.modules.values()]
    assert len(held) == len(set(held))
    outside = re.compile(
        r"embedding|lm_head|proj_out|classifi|pooler|^(model\.)?(en|de)coder\.(final_)?layer_norm$"
        r"|^head\.|^model\.final_norm$|\.pos_(q_|query_|key_)?proj$|\.conv\."
        r"|^deberta\.encoder\.LayerNorm$|\.global_input_layer_norm$"
        r"|^score$|^model\.(norm|final_layernorm)$|^transformer\.ln_f$|project_(in|out)$"
        r"|^\w+\.layernorm$|\.downsample\.reduction$"
        r"|_projection$|_model\.(head\b|(final|pre|post)_)"
    )
    for name, module in model.named_modules():
        is_norm = "norm" in type(module).__name__.lower()
        if isinstance(module, torch.nn.Linear | Conv1D) or is_norm:
            assert (id(module) in held) == (outside.search(name) is None), name


@pytest.mark.parametrize("family", FACTORIES)
def test_the_denominator_counts_tied_tensors_once_and_no_head(family: str) -> None:
    model = FACTORIES[family]()
    total = sum({id(p): p.numel() for p in model.parameters()}.values())
    backbone = wrap("test", model)
    one_layer, two_layers = 32 * 3 + 3, 32 * 32 + 32 + 32 * 3 + 3
    heads = dict.fromkeys(["bert", "albert", "modernbert"], one_layer)
    two = ["roberta", "bart_classifier", "electra", "distilbert"]
    heads |= dict.fromkeys([*two, "deberta", "deberta_v2", "deberta_v3"], two_layers)
    heads |= {"llama_classifier": 32 * 3, "gpt2_classifier": 32 * 3}
    heads |= {"vit": one_layer, "deit": one_layer, "swin": 64 * 3 + 3}
    head = heads.get(family, 0)
    assert backbone.num_head_parameters == head
    assert backbone.num_parameters == total - head
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    assert sum(dict(model.named_parameters())[n].numel() for n in trained) == head
    own = ("classifier.", "classification_head.", "pre_classifier.", "pooler.", "score.")
    assert all(name.startswith(own) for name in trained)


def test_the_head_is_drawn_from_its_seed_alone() -> None:
    heads = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(heads))
        backbone = wrap("test", FACTORIES["roberta"]())
        before = backbone.model.roberta.embeddings.word_embeddings.weight.clone()
        backbone.reset_head(seed)
        heads.append({n: p.clone() for n, p in backbone.model.classifier.named_parameters()})
        now = backbone.model.roberta.embeddings.word_embeddings.weight
        assert torch.equal(now, before)
    assert all(torch.equal(heads[0][n], heads[1][n]) for n in heads[0])
    assert not torch.equal(heads[0]["dense.weight"], heads[2]["dense.weight"])
    assert not heads[0]["out_proj.bias"].any()


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_a_regression_starts_at_the_mean_of_its_answers(family: str) -> None:
    config = FACTORIES[family]().config
    config.num_labels = 1
    backbone = wrap("test", type(FACTORIES[family]())(config).eval())
    rows = [Feature({}, target, target) for target in (2.0, 2.5, 4.5)]
    backbone.reset_head(1, mean_number(rows))
    said = backbone.model(torch.arange(12).view(2, 6)).logits
    assert torch.allclose(said, torch.full((2, 1), 3.0), atol=0.5)
    backbone.reset_head(1)
    again = backbone.model(torch.arange(12).view(2, 6)).logits
    assert torch.allclose(said - again, torch.full((2, 1), 3.0), atol=1e-5)
    labels = [Feature({}, target, float(target)) for target in (0, 1, 1)]
    assert mean_number(labels) == 0


def test_the_key_norm_is_the_norm_that_keys_are_computed_from() -> None:
    post_norm = ("bert", "bart", "electra", "distilbert", "marian")
    rest = ("t5", "mbart", "longt5", "pegasus", "modernbert", "vit", *DECODERS)
    for family in (*post_norm, *rest):
        model = FACTORIES[family]()
        for host in hosts_of(model):
            if host.key_norm is None:
                continue
            (keys,) = host.site.resolve(["k"])
            inside: list[Any] = []
            hooks = [
                host.key_norm.register_forward_hook(lambda m, a, o, s=inside: s.append(o)),
                host.modules[keys].register_forward_pre_hook(lambda m, a, s=inside: s.append(a[0])),
            ]
            model(**inputs(model))
            for hook in hooks:
                hook.remove()
            assert torch.equal(inside[0], inside[1]), host.site.id


def test_paths_of_modules() -> None:
    model = FACTORIES["bert"]()
    host = hosts_of(model)[0]
    path = module_paths(model, [host.modules["q"]])
    assert path == ["bert.encoder.layer.0.attention.self.query"]


@pytest.mark.parametrize("family", ["bart", "mbart"])
def test_a_checkpoint_without_its_language_model_head_is_complete(
    family: str, tmp_path: Path
) -> None:
    """The head is the embedding, and the bias of the logits is zero where none was saved."""
    model = FACTORIES[family](vocab_size=32)
    model.model.save_pretrained(tmp_path)
    build(tmp_path / "material")
    for file in (tmp_path / "material/t5").glob("token*"):
        file.rename(tmp_path / file.name)
    backbone = load_backbone(str(tmp_path), 2)
    assert not backbone.model.final_logits_bias.any()
    assert backbone.num_parameters == wrap("test", model).num_parameters
    assert sketch_backbone(str(tmp_path), 2).num_parameters == backbone.num_parameters
    model.final_logits_bias.zero_()
    ids = {"input_ids": torch.arange(3, 9)[None], "decoder_input_ids": torch.arange(3, 9)[None]}
    assert torch.equal(backbone.model.eval()(**ids).logits, model(**ids).logits)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_a_checkpoint_without_some_weights_is_refused(family: str, tmp_path: Path) -> None:
    """A masked language model has no pooler: BERT's classifier needs one, RoBERTa's does not."""
    import transformers

    kind = {"bert": "BertForMaskedLM", "roberta": "RobertaForMaskedLM"}[family]
    model = getattr(transformers, kind)(FACTORIES[family]().config)
    model.save_pretrained(tmp_path)
    build(tmp_path / "material")
    for file in (tmp_path / "material/bert").glob("token*"):
        file.rename(tmp_path / file.name)
    if family == "roberta":
        assert load_backbone(str(tmp_path), 2).num_head_parameters > 0
        return
    with pytest.raises(
        ConfigError, match=r"no weights for bert\.pooler\.dense\.bias, bert"
    ) as error:
        load_backbone(str(tmp_path), 2)
    assert "save_pretrained" in error.value.hint
