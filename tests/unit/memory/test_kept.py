"""What autograd keeps, counted on sketches without numbers, is what real passes keep."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from peftsearch import testing
from peftsearch.backbones.base import wrap
from peftsearch.backbones.loading import in_full, sketch_backbone
from peftsearch.catalogue import method_facts
from peftsearch.injection import cost_function, insert_choice, remove_all
from peftsearch.memory.kept import Kept, counting
from peftsearch.memory.sketch import Shape, Sketch, sample_loss
from peftsearch.space import SearchSpace
from peftsearch.space_spec import apply_space, parse_space
from peftsearch.supernet.gates import PricedGates
from peftsearch.supernet.supernet import Supernet
from tests.models import FACTORIES

SHAPE = Shape(rows=4, tokens=24, targets=8)
FAMILIES = ["t5", "bert", "llama", "gpt2", "vit", "clip", "whisper", "mixtral", *(
    pytest.param(name, marks=pytest.mark.slow)
    for name in "t5_v1_1 bart albert distilbert electra deberta_v2 modernbert longt5 mistral qwen3 "
    "gemma2 phi3 opt olmoe deit swin".split()
)]  # fmt: skip
HEADS = {"vit": "image", "deit": "image", "swin": "image", "clip": "pair", "whisper": "speech"}
#: Methods that between them use every hook: inputs, outputs, attention, norms.
SOME = ("lora", "adapter", "prefix", "ia3", "layernorm")


@cache
def _folder(name: str, root: Path) -> Path:
    FACTORIES[name]().config.save_pretrained(root / name)
    return root / name


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("configs")


def sketch_of(name: str, root: Path, half: bool = False, outputs: int | None = None) -> Sketch:
    outputs = (0 if _writes(name) else 3) if outputs is None else outputs
    precision = "bf16" if half else "fp32"
    source = str(_folder(name, root))
    make = partial(sketch_backbone, source, outputs, head=HEADS.get(name, "sequence"))
    return Sketch(partial(make, device="cpu", precision=precision), half, False)


def _writes(name: str) -> bool:
    return "ForCausalLM" in type(_model(name)).__name__ or "LMHead" in type(_model(name)).__name__


@cache
def _model(name: str) -> Any:
    return FACTORIES[name]()


def real_pass(model: Any, half: bool = False) -> Kept:
    with counting(model) as kept, torch.autocast("cpu", torch.bfloat16, enabled=half):
        sample_loss(model.train(), SHAPE)
    return kept


def choices_of(backbone: Any, methods: tuple[str, ...] = SOME) -> list[Any]:
    return [choice for method in methods for choice in testing.choices_for(backbone, method)]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("half", [False, True])
def test_a_sketch_keeps_what_a_real_pass_keeps(name: str, half: bool, root: Path) -> None:
    model = FACTORIES[name]()
    real = wrap(name, model.to(torch.bfloat16) if half else model)
    in_full(real.model)
    hosts = {host.site.id: host for host in real.hosts}
    choices = choices_of(real)
    insertions = [insert_choice(hosts[choice.site], choice) for choice in choices]
    measured = real_pass(real.model, half)
    remove_all(insertions)
    planned = sketch_of(name, root, half).trained(choices, SHAPE)
    # A storage here and there is shared in one and not in the other; most agree to the byte.
    assert planned.total == pytest.approx(measured.total, rel=0.02)
    assert planned.checkpointed == pytest.approx(measured.checkpointed, rel=0.02)
    assert measured.total > 10_000


def test_a_storage_counts_once_and_weights_not_at_all() -> None:
    model = nn.Linear(6, 5)
    x = torch.randn(4, 6, requires_grad=True)
    with counting(model) as kept:
        hidden = model(x)  # keeps x and the weight
        hidden.view(2, 10).relu().sum()  # keeps its result
        (hidden.t() * hidden[0, 0]).exp()  # keeps hidden twice, and the exponentials
    assert kept.total == 4 * (4 * 6 + 4 * 5 + 4 * 5 + 4 * 5)
    assert kept.checkpointed == kept.total  # there are no layers


@pytest.mark.parametrize("half", [False, True])
def test_the_formula_of_the_documentation(half: bool, root: Path) -> None:
    """docs/memory.md: a layer of Llama's kind with LoRA on queries and values."""
    sizes = {"hidden_size": 96, "intermediate_size": 200, "num_hidden_layers": 4}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32}
    name = "wide"
    FACTORIES["llama"](96, **{**sizes, **heads}).config.save_pretrained(root / name)
    source, precision = str(root / name), "bf16" if half else "fp32"
    sketch = Sketch(
        lambda: sketch_backbone(source, 0, device="cpu", precision=precision), half, False
    )
    shape = Shape(rows=8, tokens=40)
    lora = [c for c in testing.choices_for(sketch.backbone, "lora") if c.site.endswith("attention")]
    kept = sketch.trained(lora, shape)
    n, width = shape.rows * shape.tokens, 2 if half else 4
    d, q, f = 96, 4 * 32, 200
    inputs = 2 * d if half else d  # queries and values share a copy in float32 only
    layer = n * (8 * d + width * (4 * q + 3 * f + inputs)) + 4 * n * 4 + width * n * shape.tokens
    # The lowest layer has no backward pass through its first norm.
    assert list(kept.blocks.values())[1:] == pytest.approx([layer] * 3, rel=0.03)
    # The last norm, and the log-probabilities of 50 words.
    assert kept.rest == pytest.approx(4 * n * (d + 50), rel=0.05)


def space_of(backbone: Any) -> SearchSpace:
    spec = parse_space(
        {
            "name": "some",
            "combine": "one",
            "sites": [
                {
                    "where": {"part": "attention"},
                    "candidates": [
                        {"method": "lora", "modules": ["q", "v"], "sizes": [2, 4]},
                        {"method": "prefix", "sizes": [2]},
                    ],
                },
                {
                    "where": {"part": "feed_forward"},
                    "candidates": [{"method": "adapter", "sizes": [2]}, {"method": "bitfit"}],
                },
            ],
        },
        method_facts(),
        "some",
    )
    return apply_space(spec, backbone.sites, method_facts(), cost_function(backbone.hosts))


@pytest.mark.parametrize("name", ["t5", "bert", "llama"])
@pytest.mark.parametrize("probed", [None, 0.5])
def test_a_step_of_the_search(name: str, probed: float | None, root: Path) -> None:
    real = wrap(name, FACTORIES[name]())
    space = space_of(real)
    supernet = Supernet(real, space, PricedGates(space))
    choices = supernet.gates.draw(2, 5.0, 1.0, space.max_cost / 3)
    if probed is None:
        choices = choices.detach()
    totals = []
    for seed in range(4):  # what is probed is drawn
        torch.manual_seed(seed)
        supernet.set(choices, SHAPE.rows, probed=probed or 0.0)
        totals.append(real_pass(real.model).total)
    sketch = sketch_of(name, root)
    with sketch.searched(space, ()) as planned:
        found = sketch.sampled(planned, choices.detach(), SHAPE, probed).total
    assert found == pytest.approx(sum(totals) / len(totals), rel=0.02 if probed is None else 0.15)


def test_a_gpu_keeps_less_of_dropout(root: Path) -> None:
    name = "dropping"
    FACTORIES["bert"](32, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1).config \
        .save_pretrained(root / name)  # fmt: skip
    on = {
        accelerator: Sketch(
            lambda: sketch_backbone(str(root / name), 3, device="cpu"), False, accelerator
        )
        for accelerator in (False, True)
    }
    kept = {where: s.trained(choices_of(s.backbone), SHAPE).total for where, s in on.items()}
    scores = 2 * 4 * SHAPE.rows * 4 * SHAPE.tokens**2  # of two layers of four heads, at least once
    assert kept[True] < kept[False] - scores


def test_only_the_heaviest_is_counted_in_full(root: Path) -> None:
    sketch = sketch_of("llama", root)
    several = [choices_of(sketch.backbone, (method,)) for method in SOME]
    totals = [sketch.trained(choices, SHAPE).total for choices in several]
    assert sketch.heaviest(several, SHAPE).total == max(totals)
    assert len(sketch.backbone.model.model.layers) == 2
