"""Search spaces: what YAML may say, and what it means on the sites of a backbone."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from peftsearch import catalogue
from peftsearch.catalogue import method_facts
from peftsearch.errors import BudgetError, ConfigError
from peftsearch.site import Site
from peftsearch.space import EMPTY, Candidate, SearchSpace
from peftsearch.space_spec import apply_space, parse_space
from tests.shapes import bert_sites, cost, t5_sites

#: Spaces that name parts only an encoder-decoder has are not for BERT.
SHAPES = {"t5": t5_sites(), "t5 gated": t5_sites(gated=True), "bert": bert_sites()}


def read(text: str, sites: Any = None) -> SearchSpace:
    """Parse and apply a space."""
    facts = method_facts()
    spec = parse_space(yaml.safe_load(text), facts, "s.yaml")
    return apply_space(spec, t5_sites() if sites is None else sites, facts, cost)


def problems(text: str, sites: Any = None) -> str:
    """Return the message and hint of the error that a space ends in."""
    with pytest.raises(ConfigError) as caught:
        read(text, sites)
    return f"{caught.value.message} {caught.value.hint}".strip()


def one(candidate: str, where: str = "{part: attention}") -> str:
    """Return a space with one rule and one candidate."""
    return f"sites: [{{where: {where}, candidates: [{candidate}]}}]"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", catalogue.spaces())
def test_shipped_spaces(name: str, shape: str) -> None:
    text = catalogue.spaces()[name].read_text(encoding="utf-8")
    if shape == "bert" and "cross_attention" in text:
        text = text.replace("[attention, cross_attention]", "attention")
    space = read(text, SHAPES[shape])
    assert space.name == name
    assert space.description
    assert {gate.site for gate in space.gates} <= set(SHAPES[shape])
    assert 0 < space.min_cost <= space.max_cost
    for gate in space.gates:
        assert gate.candidates[0] == EMPTY
        assert len(set(gate.candidates)) == len(gate.candidates) > 1
        assert all(c.num_params > 0 for c in gate.candidates[1:])
        if space.combine == "many":
            assert len({c.method for c in gate.candidates[1:]}) == 1
    assert SearchSpace.from_json(space.to_json()) == space


@pytest.mark.parametrize("name", catalogue.spaces())
def test_shipped_spaces_fit_an_encoder_as_they_are(name: str) -> None:
    """A rule for attention and cross-attention applies where there is no decoder."""
    text = catalogue.spaces()[name].read_text(encoding="utf-8")
    assert read(text, bert_sites()).gates


def test_peft_lossless_has_only_what_one_peft_adapter_holds() -> None:
    text = catalogue.spaces()["peft_lossless"].read_text(encoding="utf-8")
    space = read(text)
    assert space.combine == "one"
    assert {c.method for _, c in space.choices()} == {"none", "lora"}


def test_candidates_sizes_and_costs() -> None:
    space = read(
        one("{method: lora, sizes: [1, 4]}", "{stack: encoder, layer: 1, part: attention}")
    )
    (gate,) = space.gates
    assert gate.site.id == "encoder.01.attention"
    assert gate.candidates == (
        EMPTY,
        Candidate("lora", 1, ("q", "v"), 256),
        Candidate("lora", 4, ("q", "v"), 1024),
    )
    assert (space.num_candidates, space.min_cost, space.max_cost) == (3, 256, 1024)
    assert [c.label for c in gate.candidates] == ["none", "lora 1 (q,v)", "lora 4 (q,v)"]


def test_one_or_many() -> None:
    text = one("{method: lora, sizes: [1]}, {method: adapter, sizes: [1]}")
    together, apart = read(text), read("combine: many\n" + text)
    assert len(apart.gates) == 2 * len(together.gates)
    assert {len(gate.candidates) for gate in together.gates} == {3}
    assert {len(gate.candidates) for gate in apart.gates} == {2}


def test_rules_add_up_and_repeat_nothing() -> None:
    rule = "{where: {part: attention}, candidates: [{method: lora, sizes: [1, 2]}]}"
    more = "{where: {stack: decoder}, candidates: [{method: lora, sizes: [2, 4]}]}"
    space = read(f"sites: [{rule}, {more}]")
    sizes = {gate.site.id: [c.size for c in gate.candidates[1:]] for gate in space.gates}
    assert sizes["encoder.00.attention"] == [1, 2]
    assert sizes["decoder.00.attention"] == [1, 2, 4]
    assert sizes["decoder.00.feed_forward"] == [2, 4]


def test_gated_feed_forward_has_a_module_more() -> None:
    text = one("{method: lora, sizes: [1]}", "{part: feed_forward}")
    plain, gated = read(text), read(text, t5_sites(gated=True))
    assert plain.gates[0].candidates[1].modules == ("up", "down")
    assert gated.gates[0].candidates[1].modules == ("up", "gate", "down")


def test_at_a_fused_map_a_candidate_stands_once_whatever_was_named() -> None:
    sites = [Site("encoder", 0, "attention", ("qkv", "o"))]
    lines = ", ".join(
        [
            "{method: lora, modules: [q, v], sizes: [1]}",
            "{method: lora, modules: [q, k], sizes: [1]}",
            "{method: lora, modules: [q, o], sizes: [1]}",
            "{method: bitfit}",
        ]
    )
    (gate,) = read(f"sites: [{{candidates: [{lines}]}}]", sites).gates
    found = [(c.method, c.modules) for c in gate.candidates[1:]]
    assert found == [("lora", ("qkv",)), ("lora", ("qkv", "o")), ("bitfit", ("qkv", "o"))]


def test_what_sites_refuse_is_left_out_and_told() -> None:
    names, why = ("q", "k", "v", "o"), {"prefix": "its attention is its own"}
    sites = [Site("encoder", i, "attention", names, why if i else {}) for i in range(3)]
    text = one("{method: prefix, sizes: [1, 4]}, {method: lora, sizes: [1]}", "{}")
    space = read(text, sites)
    methods = [[c.method for c in gate.candidates[1:]] for gate in space.gates]
    assert methods == [["prefix", "prefix", "lora"], ["lora"], ["lora"]]
    told = ["prefix removed at 2 sites (4 candidates): its attention is its own"]
    assert [str(one) for one in space.removed] == told
    assert SearchSpace.from_json(space.to_json()) == space
    assert space.to_json()["removed"][0]["targets"] == []


def test_a_space_of_nothing_but_what_is_refused() -> None:
    sites = [Site("encoder", 0, "attention", ("q", "k", "v"), {"prefix": "it has no keys"})]
    with pytest.raises(ConfigError, match=r"model can have:\n  prefix.*no keys"):
        read(one("{method: prefix, sizes: [1]}", "{}"), sites)


def test_unknown_keys_at_every_depth_are_collected() -> None:
    text = """
    nam: x
    combin: one
    sites:
      - wher: {part: attention}
        where: {parts: attention}
        candidates:
          - {method: lora, size: [1], sizes: [1]}
          - {method: lroa, sizes: [1]}
    """
    found = problems(text)
    assert found.startswith("6 problems\n")
    for line in (
        's.yaml: unknown key "nam".  Did you mean "name"?',
        's.yaml: unknown key "combin".  Did you mean "combine"?',
        's.yaml: sites[0]: unknown key "wher".  Did you mean "where"?',
        's.yaml: sites[0].where: unknown key "parts".  Did you mean "part"?',
        's.yaml: sites[0].candidates[0]: unknown key "size".  Did you mean "sizes"?',
        's.yaml: sites[0].candidates[1]: method "lroa" is not known.  Did you mean "lora"?',
    ):
        assert line in found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "s.yaml: a search space is a mapping with name, combine and sites."),
        ("name: x", "s.yaml: sites must be a list with at least one entry."),
        ("sites: []", "s.yaml: sites must be a list with at least one entry."),
        ("sites: [3]", "s.yaml: sites[0] must be a mapping with where and candidates."),
        ("sites: [{where: {}}]", "s.yaml: sites[0].candidates must be a list with at least one"),
        (one("lora"), "s.yaml: sites[0].candidates[0] must be a mapping with method and sizes."),
        (one("{method: lora}"), "lora needs sizes, e.g. sizes: [1, 2, 4]."),
        (one("{method: ia3, sizes: [1]}"), "ia3 has no sizes; remove the key."),
        (one("{method: lora, sizes: [0]}"), "sizes must be whole numbers from 1, not [0]."),
        (one("{method: lora, sizes: [1.5]}"), "sizes must be whole numbers from 1, not [1.5]."),
        (one("{method: lora, sizes: [true]}"), "sizes must be whole numbers from 1, not [True]."),
        (one("{method: lora, sizes: [2, 2]}"), "sizes must rise without repeats, not [2, 2]."),
        (one("{method: lora, sizes: [4, 1]}"), "sizes must rise without repeats, not [4, 1]."),
        ("combine: all\n" + one("{method: ia3}"), 'combine "all" is not known. Known: many, one'),
    ],
)
def test_refused_as_written(text: str, message: str) -> None:
    assert message in problems(text)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            "{stack: encodr}",
            'sites[0].where: stack "encodr" matches no site of this model. Did you mean "encoder"?',
        ),
        (
            "{part: atention}",
            's.yaml: sites[0].where: part "atention" is not known. Did you mean "attention"?',
        ),
        (
            "{stack: encoder, part: cross_attention}",
            "sites[0].where: no site of this model has all that is asked for.",
        ),
        (
            "{layer: 12}",
            'sites[0].where: layer "12" matches no site of this model. Did you mean "2"?',
        ),
    ],
)
def test_a_selector_that_matches_nothing(where: str, message: str) -> None:
    assert problems(one("{method: lora, sizes: [1]}", where)) == message


def test_a_part_that_this_model_lacks() -> None:
    found = problems(one("{method: ia3}", "{part: cross_attention}"), bert_sites())
    assert found.startswith('sites[0].where: part "cross_attention" matches no site of this model.')
    assert 'Did you mean "attention"?' in found


def test_modules_that_are_not_there() -> None:
    found = problems(one("{method: lora, modules: [qq], sizes: [1]}"))
    assert found.startswith("sites[0]: lora names modules ['qq'] that are not there.")


def test_a_single_wrong_module_is_not_passed_over() -> None:
    found = problems(one("{method: lora, modules: [q, vv], sizes: [1]}"))
    assert "vv" in found


def test_a_method_that_does_not_attach_there() -> None:
    found = problems(one("{method: layernorm}"))
    assert found == "sites[0]: layernorm cannot attach to part attention. It attaches to: norm."


def test_none_need_not_be_named() -> None:
    """It is a candidate everywhere; whoever names it gets a sentence."""
    assert "none" in problems(one("{method: none}"))


def test_budget_binds() -> None:
    space = read(one("{method: lora, sizes: [1, 4]}", "{stack: encoder, part: attention}"))
    assert space.max_cost == 3 * 1024
    assert space.binds(3071)
    assert not space.binds(3072)


def test_candidates_above_the_budget_are_dropped() -> None:
    space = read(one("{method: lora, sizes: [1, 4]}, {method: adapter, sizes: [64]}"))
    assert space.within(10**9) == space
    small = space.within(1023)
    assert {c.size for _, c in small.choices()} == {0, 1}
    assert all(gate.candidates[0] == EMPTY for gate in small.gates)


def test_a_budget_below_the_cheapest_candidate() -> None:
    space = read("name: mine\n" + one("{method: lora, sizes: [1, 4]}"))
    assert space.within(256).gates
    with pytest.raises(BudgetError) as caught:
        space.within(255)
    assert caught.value.message == (
        "A budget of 255 parameters is smaller than the cheapest candidate of the space mine (256)."
    )
    assert caught.value.hint == (
        "Cheapest candidates: lora 1 (q,v): 256; lora 4 (q,v): 1,024. "
        "Raise --budget or take another --space."
    )
    assert caught.value.exit_code == 4
