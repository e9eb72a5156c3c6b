"""``exportable_to``: whatever a narrowed space holds, every target holds, and nothing else went."""

from __future__ import annotations

import random
from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from peftsearch import baselines
from peftsearch.architecture import Architecture, Choice
from peftsearch.backbones.base import Backbone
from peftsearch.catalogue import exporters, method_facts, spaces
from peftsearch.errors import ConfigError
from peftsearch.export.narrowing import held, narrowed
from peftsearch.export.writing import problems
from peftsearch.injection import cost_function
from peftsearch.space import Candidate, Gate, SearchSpace
from peftsearch.space_spec import apply_space, parse_space
from peftsearch.strategies.design_space import pattern
from tests.models import EACH_FAMILY, FACTORIES
from tests.unit.export.material import fresh

TARGETS = tuple(exporters())
#: Every method at every part, several at one site, some of which meet on one module.
CROWDED = """
name: crowded
combine: many
sites:
  - where: {part: [attention, feed_forward]}
    candidates:
      - {method: lora, sizes: [1, 3]}
      - {method: ia3}
      - {method: adapter, sizes: [2]}
      - {method: bitfit}
  - where: {part: attention}
    candidates:
      - {method: prefix, sizes: [1, 2]}
      - {method: lora, modules: [q, k, v, o], sizes: [2]}
  - where: {part: feed_forward}
    candidates: [{method: parallel_adapter, sizes: [1, 2]}]
  - where: {part: norm}
    candidates: [{method: layernorm}, {method: bitfit}]
"""


@cache
def backbone_of(family: str) -> Backbone:
    """Return a tiny backbone; nothing here changes it."""
    return fresh(family)


@pytest.fixture(scope="module", params=EACH_FAMILY)
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return backbone_of(request.param)


def space_of(backbone: Backbone, text: str) -> SearchSpace:
    """Apply a space, without the parts that the backbone does not have."""
    return _applied(next(n for n in FACTORIES if backbone_of(n) is backbone), text)


@cache
def _applied(family: str, text: str) -> SearchSpace:
    backbone = backbone_of(family)
    data = yaml.safe_load(text)
    there = {site.part for site in backbone.sites}
    for rule in data["sites"]:
        parts = rule["where"]["part"]
        rule["where"]["part"] = [p for p in ([parts] if isinstance(parts, str) else parts)
                                 if p in there]  # fmt: skip
    spec = parse_space(data, method_facts(), "test")
    return apply_space(spec, backbone.sites, method_facts(), cost_function(backbone.hosts))


def shipped(name: str) -> str:
    return spaces()[name].read_text(encoding="utf-8")


def architecture_of(backbone: Backbone, choices: Iterable[Choice]) -> Architecture:
    return Architecture(backbone.name, "", 1, "", 1, tuple(choices))


def choice(gate: Gate, candidate: Candidate) -> Choice:
    c = candidate
    return Choice(gate.site.id, c.method, c.size, c.modules, c.num_params)


def refused(backbone: Backbone, targets: Iterable[str], choices: Iterable[Choice]) -> list[Any]:
    architecture = architecture_of(backbone, choices)
    return [p for target in targets for p in problems(target, architecture, backbone)]


@pytest.mark.parametrize("space", ["crowded", "default", "unipelt"])
def test_any_architecture_can_be_exported(backbone: Backbone, space: str) -> None:
    whole = space_of(backbone, CROWDED if space == "crowded" else shipped(space))
    for target in TARGETS:
        part = held(whole, [target], backbone)
        drawn = random.Random(target)
        for _ in range(20):
            share = drawn.random()
            taken = [(g, drawn.choice(g.candidates)) for g in part.gates if drawn.random() < share]
            chosen = [choice(gate, candidate) for gate, candidate in taken if candidate.num_params]
            assert not chosen or not refused(backbone, [target], chosen)


@settings(max_examples=30)
@given(data=st.data())
def test_any_architecture_can_be_exported_to_all_of_several(data: st.DataObject) -> None:
    backbone = backbone_of(data.draw(st.sampled_from(["t5", "bart", "bert"])))
    targets = data.draw(st.lists(st.sampled_from(TARGETS), min_size=1, max_size=4))
    text = data.draw(st.sampled_from([CROWDED, shipped("default")]))
    space = held(space_of(backbone, text), targets, backbone)
    assert space.exportable_to == tuple(dict.fromkeys(targets))
    taken = [(gate, data.draw(st.sampled_from(gate.candidates))) for gate in space.gates]
    chosen = [choice(gate, candidate) for gate, candidate in taken if candidate.num_params]
    assert not chosen or not refused(backbone, targets, chosen)


@pytest.mark.parametrize("targets", [("peft",), ("merged", "adapters"), TARGETS[:1]])
def test_nothing_goes_without_need(backbone: Backbone, targets: tuple[str, ...]) -> None:
    """Where a site gets one candidate, those that stay are those without problems alone."""
    space = space_of(backbone, shipped("default"))
    wanted = {
        (gate.site.id, candidate)
        for gate, candidate in space.choices()
        if candidate.num_params and not refused(backbone, targets, [choice(gate, candidate)])
    }
    found = held(space, targets, backbone)
    assert {(gate.site.id, c) for gate, c in found.choices() if c.num_params} == wanted
    lost = space.num_candidates - found.num_candidates - (len(space.gates) - len(found.gates))
    places = {(gate.site.id, c) for gate, c in space.choices() if c.num_params} - wanted
    assert len(places) == lost
    for removed in found.removed:
        assert 0 < removed.sites <= removed.candidates <= lost
        assert set(removed.targets) <= set(targets)


def test_of_candidates_that_do_not_go_together_the_first_gate_stays() -> None:
    """IA3 and LoRA on queries, keys or values; a serial and a parallel adapter."""
    backbone = backbone_of("bert")
    space = space_of(backbone, CROWDED)
    found = held(space, ["adapters"], backbone)
    by_site: dict[str, list[str]] = {}
    for gate in found.gates:
        by_site.setdefault(gate.site.part, []).append(gate.candidates[1].method)
    assert by_site == {  # IA3 meets LoRA at the values, a parallel adapter the serial one
        "attention": ["lora", "adapter", "prefix"] * 2,
        "feed_forward": ["lora", "adapter"] * 2,
    }
    meeting = {r.method for r in found.removed if "acts on the same module" in r.reason}
    assert meeting == {"ia3", "parallel_adapter"}
    ia3 = next(g for g in space.gates if g.candidates[1].method == "ia3")
    alone = choice(ia3, ia3.candidates[1])
    lora = next(g for g in found.gates if g.site == ia3.site and g.candidates[1].method == "lora")
    assert not refused(backbone, ["adapters"], [alone])
    assert refused(backbone, ["adapters"], [alone, choice(lora, lora.candidates[1])])


def test_without_targets_the_space_is_the_same_object(backbone: Backbone) -> None:
    space = space_of(backbone, CROWDED)
    assert narrowed(space, (), backbone) is space
    assert not space.to_json().get("exportable_to")


def test_what_went_is_recorded_once_for_each_method_and_reason() -> None:
    backbone = backbone_of("t5")
    space = held(space_of(backbone, shipped("default")), ["merged", "peft"], backbone)
    lines = [str(removed) for removed in space.removed]
    assert (
        "bitfit removed at 4 sites (4 candidates) for peft: T5's norms have no bias, and PEFT adds "
        "none to a norm" in lines
    )
    keys = [(removed.method, removed.reason) for removed in space.removed]
    assert len(set(keys)) == len(keys)
    assert SearchSpace.from_json(space.to_json()) == space
    assert space.within(10**9).removed == space.removed
    assert space.within(10**9).exportable_to == ("merged", "peft")
    both = held(space_of(backbone, shipped("tiny")), ["peft", "trl"], backbone)
    (adapter,) = [r for r in both.removed if r.method == "adapter" and "trl" in r.targets]
    assert adapter.sites == 4


def test_a_space_with_nothing_left_says_why() -> None:
    bert = backbone_of("bert")
    space = space_of(bert, shipped("tiny"))
    with pytest.raises(ConfigError) as caught:
        narrowed(space, ["native", "trl"], bert)
    assert caught.value.exit_code == 2
    first, *reasons = caught.value.message.splitlines()
    assert first == (
        "exportable_to is native, trl, and each of them can hold nothing of the space tiny on this "
        "model (bert):"
    )
    assert any(
        "lora removed at 2 sites (4 candidates) for trl: TRL trains models that write text" in line
        for line in reasons
    )
    assert "--exportable-to" in caught.value.hint


@pytest.mark.parametrize("targets", [["adapters"], ["peft", "merged"]])
@pytest.mark.parametrize("limit", [200, 1000, 4000])
def test_what_strategies_take_from_the_space_can_be_exported(
    backbone: Backbone, targets: list[str], limit: int
) -> None:
    """The fixed pattern, random fill, and the uniform architectures of the space."""
    space = held(space_of(backbone, shipped("default")), targets, backbone)
    if not space.max_cost:  # a family that the target has nothing for
        assert exporters()["adapters"].reason("lora", "attention", backbone.family)
        assert targets == ["adapters"]
        return
    space = space.within(limit)
    found = [pattern(space, limit), *(baselines.random_fill(space, limit, i) for i in range(5))]
    uniform = [baselines.uniform_in(space, m, limit) for m in baselines.UNIFORM.values()]
    found += [one for one in uniform if one is not None]
    for candidates in found:
        choices = [c for c in baselines.to_choices(space, candidates) if c.num_params]
        assert not choices or not refused(backbone, targets, choices)
    assert any(any(candidates) for candidates in found)
