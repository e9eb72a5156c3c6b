"""Prefixes in single layers: masks, padding, caches, kernels, and an oracle by hand."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from peftsearch import testing
from peftsearch.architecture import Choice
from peftsearch.backbones.base import wrap
from peftsearch.injection import Insertion, count, insert_choice, remove_all
from tests.models import FACTORIES, inputs

T5S = ("t5", "t5_v1_1", "byt5")
BARTS = ("bart", "mbart")
#: Lengths that differ by site, and sites without a prefix.
SUBSETS = {
    "first": {"encoder.00.attention": 3, "decoder.00.attention": 2},
    "not the first": {"encoder.01.attention": 3},
    "cross": {"decoder.00.cross_attention": 4},
    "mixed": {
        "encoder.00.attention": 1,
        "encoder.01.attention": 5,
        "decoder.00.attention": 3,
        "decoder.00.cross_attention": 2,
    },
}


def prefixed(model: Any, lengths: dict[str, int], *, trained: bool = True) -> list[Insertion]:
    """Insert prefixes of these lengths."""
    backbone = wrap("test", model)
    insertions = []
    for site, size in lengths.items():
        host = testing.host_of(backbone, site)
        cost = count(host, "prefix", ("k", "v"), size)
        insertions.append(insert_choice(host, Choice(site, "prefix", size, ("k", "v"), cost)))
    if trained:
        testing.draw(insertions, std=1.0)
    return insertions


@pytest.fixture(params=T5S)
def t5(request: pytest.FixtureRequest) -> Any:
    return FACTORIES[request.param]()


@pytest.fixture(params=BARTS)
def bart(request: pytest.FixtureRequest) -> Any:
    return FACTORIES[request.param]()


@pytest.fixture(params=(*T5S, *BARTS))
def seq2seq(request: pytest.FixtureRequest) -> Any:
    return FACTORIES[request.param]()


@pytest.mark.parametrize("subset", SUBSETS)
def test_padding_changes_nothing(seq2seq: Any, subset: str) -> None:
    """A row alone, without padding, gives what it gives in a padded batch."""
    batch = inputs(seq2seq)
    plain = testing.logits(seq2seq, batch)
    prefixed(seq2seq, SUBSETS[subset])
    together = testing.logits(seq2seq, batch)
    assert float((together - plain).abs().max()) > 1e-2
    for row, mask in enumerate(batch["attention_mask"]):
        alone = {name: tensor[row : row + 1] for name, tensor in batch.items()}
        length = int(mask.sum())
        alone["input_ids"] = alone["input_ids"][:, :length]
        alone["attention_mask"] = alone["attention_mask"][:, :length]
        found = testing.logits(seq2seq, alone)[0]
        torch.testing.assert_close(found, together[row], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_no_mask_is_a_mask_of_ones(seq2seq: Any, subset: str, kernel: str) -> None:
    seq2seq.set_attn_implementation(kernel)
    prefixed(seq2seq, SUBSETS[subset])
    batch = inputs(seq2seq)
    batch["attention_mask"] = torch.ones_like(batch["attention_mask"])
    with_mask = testing.logits(seq2seq, batch)
    del batch["attention_mask"]
    torch.testing.assert_close(testing.logits(seq2seq, batch), with_mask, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("subset", SUBSETS)
def test_kernels_agree_and_may_be_changed_later(seq2seq: Any, subset: str) -> None:
    prefixed(seq2seq, SUBSETS[subset])
    batch = inputs(seq2seq)
    sdpa = testing.logits(seq2seq, batch)
    seq2seq.set_attn_implementation("eager")
    eager = testing.logits(seq2seq, batch)
    torch.testing.assert_close(eager, sdpa, rtol=2e-5, atol=2e-5)
    maps = seq2seq(**batch, output_attentions=True)
    lengths = SUBSETS[subset]
    for layer, weights in enumerate(maps.encoder_attentions):
        extra = lengths.get(f"encoder.{layer:02d}.attention", 0)
        assert weights.shape[-1] == batch["input_ids"].shape[1] + extra
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights.sum(-1)))
    seq2seq.set_attn_implementation("sdpa")
    assert torch.equal(testing.logits(seq2seq, batch), sdpa)


@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize("beams", [1, 3])
def test_generating_with_a_cache_equals_without(seq2seq: Any, subset: str, beams: int) -> None:
    prefixed(seq2seq, SUBSETS[subset])
    batch = {k: v for k, v in inputs(seq2seq).items() if k != "decoder_input_ids"}
    settings = {"max_new_tokens": 6, "num_beams": beams, "do_sample": False, "min_new_tokens": 6}
    cached = seq2seq.generate(**batch, **settings, use_cache=True)
    uncached = seq2seq.generate(**batch, **settings, use_cache=False)
    assert torch.equal(cached, uncached)
    if beams == 1:  # token by token equals one pass over what was generated
        logits = testing.logits(seq2seq, {**batch, "decoder_input_ids": cached})[:, :-1]
        logits[..., seq2seq.config.eos_token_id] = -torch.inf  # as min_new_tokens does
        assert torch.equal(logits.argmax(-1), cached[:, 1:])


def test_the_first_layer_keeps_its_position_bias_to_itself(t5: Any) -> None:
    """Layer 0 computes the bias that the layers above share: it must come out as it went in."""
    prefixed(t5, {"encoder.00.attention": 3, "decoder.00.attention": 3})
    seen: list[Tensor] = []
    block = t5.encoder.block[0].layer[0]
    hook = block.register_forward_hook(lambda m, a, out: seen.append(out[1]))
    batch = inputs(t5)
    testing.logits(t5, batch)
    hook.remove()
    length = batch["input_ids"].shape[1]
    shapes = [tuple(x.shape[-2:]) for x in seen if isinstance(x, Tensor) and x.dim() == 4]
    assert all(shape == (length, length) for shape in shapes)


@torch.no_grad()
def _by_hand(
    core: Any, x: Tensor, memory: Tensor, bias: Tensor, layer: Any, scale: float
) -> Tensor:
    """Attention with keys and values of the prefix put in front, in plain torch."""
    rows, heads = x.shape[0], layer.num_heads
    spellings = (("q", "k", "v"), ("q_proj", "k_proj", "v_proj"), ("query", "key", "value"))
    names = next(names for names in spellings if hasattr(core, names[0]))
    q, k, v = (getattr(core, n)(y) for n, y in zip(names, (x, memory, memory), strict=True))
    k = torch.cat([layer.key.expand(rows, -1, -1), k], dim=1)
    v = torch.cat([layer.value.expand(rows, -1, -1), v], dim=1)
    q, k, v = (t.view(rows, t.shape[1], heads, -1).transpose(1, 2) for t in (q, k, v))
    scores = torch.einsum("bhtd,bhud->bhtu", q, k) * scale
    free = torch.zeros(*scores.shape[:-1], layer.key.shape[0])
    bias = bias.expand(rows, heads, *bias.shape[-2:])
    weights = torch.softmax(scores + torch.cat([free, bias], dim=-1), dim=-1)
    mixed = torch.einsum("bhtu,bhud->bhtd", weights, v)
    return mixed.transpose(1, 2).reshape(rows, x.shape[1], -1)


@pytest.mark.parametrize(
    "site", ["encoder.00.attention", "encoder.01.attention", "decoder.00.attention"]
)
def test_t5_attention_by_hand(t5: Any, site: str) -> None:
    """Relative position bias is zero on the prefix and unshifted on the rest."""
    (insertion,) = prefixed(t5, {site: 3})
    batch, layer = inputs(t5), insertion.layers["core"]
    core: Any = insertion.anchors["core"]
    x, found = _watch(t5, core, batch)
    first: Any = getattr(t5, site.split(".")[0]).block[0].layer[0].SelfAttention
    length = x.shape[1]
    positions = torch.arange(length)
    buckets = first._relative_position_bucket(
        positions[None, :] - positions[:, None],
        bidirectional=not t5.config.is_decoder and site.startswith("encoder"),
        num_buckets=t5.config.relative_attention_num_buckets,
        max_distance=t5.config.relative_attention_max_distance,
    )
    bias = first.relative_attention_bias(buckets).permute(2, 0, 1).unsqueeze(0).detach()
    bias = bias.expand(len(x), -1, -1, -1).clone()
    if site.startswith("encoder"):
        bias.masked_fill_(batch["attention_mask"][:, None, None] == 0, -1e9)
    else:
        bias.masked_fill_(positions[None, :] > positions[:, None], -1e9)
    wanted = core.o(_by_hand(core, x, x, bias, layer, 1.0))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_t5_cross_attention_by_hand(t5: Any) -> None:
    (insertion,) = prefixed(t5, {"decoder.00.cross_attention": 3})
    batch, layer = inputs(t5), insertion.layers["core"]
    core: Any = insertion.anchors["core"]
    x, found = _watch(t5, core, batch)
    plain = {k: v for k, v in batch.items() if k != "decoder_input_ids"}
    memory = t5.encoder(**plain).last_hidden_state.detach()
    hidden = batch["attention_mask"][:, None, None] == 0
    bias = torch.zeros(hidden.shape).masked_fill(hidden, -1e9)
    bias = bias.expand(-1, -1, x.shape[1], -1)
    wanted = core.o(_by_hand(core, x, memory, bias, layer, 1.0))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "site",
    [
        "encoder.00.attention",
        "encoder.01.attention",
        "decoder.01.attention",
        "decoder.01.cross_attention",
    ],
)
def test_bart_attention_by_hand(bart: Any, site: str) -> None:
    (insertion,) = prefixed(bart, {site: 3})
    batch, layer = inputs(bart), insertion.layers["core"]
    core: Any = insertion.anchors["core"]
    x, found = _watch(bart, core, batch)
    length, memory = x.shape[1], x
    if "cross" in site:
        plain = {k: v for k, v in batch.items() if k != "decoder_input_ids"}
        memory = bart.get_encoder()(**plain).last_hidden_state.detach()
    hidden = batch["attention_mask"][:, None, None] == 0
    if site == "decoder.01.attention":
        hidden = torch.ones(length, length, dtype=torch.bool).triu(1)[None, None]
    bias = torch.zeros(hidden.shape).masked_fill(hidden, -1e9)
    bias = bias.expand(len(x), -1, length, -1)
    wanted = core.out_proj(_by_hand(core, x, memory, bias, layer, core.head_dim**-0.5))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.parametrize("layer_index", [0, 1])
def test_bert_attention_by_hand(family: str, layer_index: int) -> None:
    model = FACTORIES[family]()
    (insertion,) = prefixed(model, {f"encoder.{layer_index:02d}.attention": 3})
    batch, layer = inputs(model), insertion.layers["core"]
    core: Any = insertion.anchors["core"]
    x, found = _watch(model, core, batch)
    hidden = batch["attention_mask"][:, None, None] == 0
    bias = torch.zeros(hidden.shape).masked_fill(hidden, -1e9).expand(-1, -1, x.shape[1], -1)
    wanted = _by_hand(core, x, x, bias, layer, core.attention_head_size**-0.5)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def _watch(model: Any, core: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return what goes into an attention module and what comes out of it."""
    seen: list[Any] = []

    def note(module: Any, args: Any, kwargs: Any, output: Any) -> None:
        seen.append((args[0] if args else kwargs["hidden_states"], output[0]))

    hook = core.register_forward_hook(note, with_kwargs=True)
    model.eval()(**batch)
    hook.remove()
    return seen[-1]


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable:FutureWarning")
@pytest.mark.parametrize("subset", SUBSETS)
def test_gradient_checkpointing_gives_the_same_gradients(seq2seq: Any, subset: str) -> None:
    insertions = prefixed(seq2seq, SUBSETS[subset])
    batch = inputs(seq2seq)
    names = [name for i in insertions for name, _ in i.tensors()]
    parameters = [p for i in insertions for _, p in i.tensors()]
    found = []
    for checkpointing in (False, True):
        if checkpointing:
            seq2seq.gradient_checkpointing_enable(
                gradient_checkpointing_kwargs={"use_reentrant": False}
            )
        seq2seq.train()
        loss = seq2seq(**batch, use_cache=False).logits.square().mean()
        found.append(torch.autograd.grad(loss, parameters))
    for name, one, two in zip(names, *found, strict=True):
        assert bool(one.any()), name
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-7)


def test_saving_the_model_leaves_no_trace_in_its_config(seq2seq: Any, tmp_path: Path) -> None:
    seq2seq.save_pretrained(tmp_path / "before")
    insertions = prefixed(seq2seq, SUBSETS["mixed"])
    seq2seq.save_pretrained(tmp_path / "after")
    before, after = (
        json.loads((tmp_path / name / "config.json").read_text()) for name in ("before", "after")
    )
    assert before == after
    remove_all(insertions)
    assert "peftsearch" not in json.dumps(seq2seq.config.to_dict())


def test_a_copy_follows_its_own_config(seq2seq: Any) -> None:
    """The private config of a copied layer must point at the copy's config."""
    prefixed(seq2seq, SUBSETS["mixed"])
    batch = inputs(seq2seq)
    before = testing.logits(seq2seq, batch)
    twin = copy.deepcopy(seq2seq)
    twin.set_attn_implementation("eager")
    assert seq2seq.config._attn_implementation == "sdpa"
    maps = twin(**batch, output_attentions=True).encoder_attentions
    if maps:  # transformers 5.18 returns none from a T5
        assert maps[1].shape[-1] == batch["input_ids"].shape[1] + 5
    torch.testing.assert_close(testing.logits(twin, batch), before, rtol=2e-5, atol=2e-5)
    assert torch.equal(testing.logits(seq2seq, batch), before)


def test_flex_attention_is_refused() -> None:
    model = FACTORIES["bert"]()
    prefixed(model, {"encoder.00.attention": 2})
    model.config._attn_implementation_internal = "flex_attention"
    module: Any = model.bert.encoder.layer[0].attention.self
    shape = (1, 4, 3, 8)
    from peftsearch.methods.prefix import _prefix_attention

    with pytest.raises(ValueError, match="flex_attention"):
        _prefix_attention(module, *(torch.zeros(shape) for _ in range(3)), None)


def test_a_switched_off_prefix_of_large_keys_stays_off() -> None:
    """T5 does not scale its attention logits: what is off must vanish whatever its keys are."""
    for family in ("t5", "bart", "bert"):
        model = FACTORIES[family]()
        batch = inputs(model)
        before = testing.logits(model, batch)
        insertions = prefixed(model, {"encoder.00.attention": 3})
        testing.draw(insertions, std=30.0)
        testing.switch(insertions, torch.zeros(1, 1, 3))
        after = testing.logits(model, batch)
        torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5)


def test_gradients_reach_a_prefix_that_is_off() -> None:
    """The gate of an option that is off must learn whether to switch it on."""
    model = FACTORIES["t5"]()
    insertions = prefixed(model, {"encoder.00.attention": 3})
    mask = torch.zeros(1, 1, 3, requires_grad=True)
    testing.switch(insertions, mask)
    model(**inputs(model)).logits.square().mean().backward()
    assert mask.grad is not None
    assert bool(mask.grad.isfinite().all())
    assert bool((mask.grad != 0).all())


@pytest.mark.parametrize("site", ["encoder.01.attention", "decoder.00.cross_attention"])
@pytest.mark.parametrize("family", ["t5", "bart", "mbart"])
def test_the_start_looks_like_the_layer_s_own_keys(family: str, site: str) -> None:
    model = FACTORIES[family]()
    insertions = prefixed(model, {site: 200}, trained=False)
    layer: Any = insertions[0].layers["core"]
    keys = testing.host_of(wrap("test", model), site).modules["k"]
    seen: list[Tensor] = []
    hook = keys.register_forward_hook(lambda m, a, out: seen.append(out))
    testing.logits(model, inputs(model))
    hook.remove()
    ratio = float(layer.key.detach().std() / seen[0].std())
    assert 0.5 < ratio < 2.0
